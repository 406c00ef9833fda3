"""Snowflake's own client against the stand-in: sends numbered rows through one channel, each once.

It goes on at the committed offset whenever it is started or its channel fails, as Snowflake's pages
say that a client must. The test kills it, plans faults, and counts the rows.

usage: x_once.py URL KEY_FILE ROWS
"""
import sys
import time

from snowflake.ingest.streaming import StreamingIngestClient

URL, KEY_FILE, ROWS = sys.argv[1], sys.argv[2], int(sys.argv[3])
PIECE = 10
WAIT = 30

properties = {
    "account": "WEIR-TEST",
    "user": "LOADER",
    "private_key_file": KEY_FILE,
    "url": URL,
    "data_retry_initial_backoff_seconds": "1",
    "open_channel_409_retry_total_backoff_seconds": "20",
}
client = StreamingIngestClient("w", "WEIR", "PUBLIC", "EVENTS-STREAMING", properties=properties)


def start():
    channel, status = client.open_channel("wal-0")
    token = status.latest_committed_offset_token
    return channel, (0 if token is None else int(token) + 1)


reopened = 0
channel, at = start()
print("start", at, flush=True)
while True:
    try:
        while at < ROWS:
            end = min(at + PIECE, ROWS)
            rows = [{"seq": n, "v": {"a": n}} for n in range(at, end)]
            channel.append_rows(rows, str(at), str(end - 1))
            channel.initiate_flush()
            at = end
            # As fast as a channel may: ten requests a second would be refused otherwise.
            time.sleep(0.12)
        channel.wait_for_flush(WAIT)
        channel.wait_for_commit(lambda t: t is not None and int(t) >= ROWS - 1, WAIT)
        break
    except Exception as error:
        reopened += 1
        print("again", type(error).__name__, str(error)[:90], flush=True)
        try:
            channel.close(wait_for_flush=False)
        except Exception:
            pass
        channel, at = start()
print("done", reopened, flush=True)
channel.close()
client.close()
