"""`AsyncSecretCache`: the cache for event loops, over the same core as `SecretCache`.

A hit is a look-up on the loop. What has to wait is done by threads, one for all tasks that want the same, and
tasks wait for the end of it. asyncio needs nothing besides; on trio, trio itself is used.
"""
