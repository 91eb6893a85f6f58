"""Rollout: policies that change while requests come in."""
