-- Return a record: fence, version, time and body. KEYS: the record.
return redis.call('HMGET', KEYS[1], 'fence', 'version', 'time', 'body')
