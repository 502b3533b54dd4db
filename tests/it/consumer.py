"""A consumer as anyone would write it: redis-py, a consumer group, every signal of a stream.

usage: consumer.py REDIS_URL STREAM -> {"read": N, "ids": [...], "seqs": [...]} on stdout
"""
import json
import sys

sys.path.append("/usr/lib/python3/dist-packages")  # where Debian puts redis-py
import redis


def main():
    url, stream = sys.argv[1:3]
    r = redis.Redis.from_url(url, decode_responses=True)
    group, me = "test-group", "consumer-1"
    r.xgroup_create(stream, group, id="0", mkstream=False)
    ids, seqs = [], []
    while True:
        batches = r.xreadgroup(group, me, {stream: ">"}, count=100)
        if not batches:
            break
        for _, entries in batches:
            for entry, fields in entries:
                json.loads(fields["data_quality"])
                json.loads(fields["latency_ns"])
                ids.append(fields["signal_id"])
                seqs.append(int(fields["seq"]))
                r.xack(stream, group, entry)
    pending = r.xpending(stream, group)["pending"]
    print(json.dumps({"read": len(ids), "ids": ids, "seqs": seqs, "pending": pending}))


main()
