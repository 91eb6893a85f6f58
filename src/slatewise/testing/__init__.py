"""For people who write stages: conformance checks, random instances and hypothesis strategies."""
