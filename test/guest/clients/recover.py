"""Injects an error with the python qemu.qmp library, and waits for the recovery's end. Prints one JSON line."""
import asyncio
import json
import sys

from qemu.qmp import QMPClient


async def main(path, device):
    client = QMPClient("test")
    await client.connect(path)
    version = await client.execute("query-version")
    status = await client.execute("query-status")
    with client.listener(("X_ZMEND_RECOVERY",)) as listener:
        await client.execute("x-zmend-inject-error", {"id": device, "pec": 0x3A})
        async for event in listener:
            if "phases" in event["data"]:
                break
    with client.listener(("STOP", "RESUME")) as listener:
        await client.execute("stop")
        await client.execute("cont")
        run = [(await listener.get())["event"] for _ in range(2)]
    try:
        await client.execute("no-such-command")
        error = ""
    except Exception as exc:
        error = str(exc)
    books = await client.execute("x-zmend-query-recovery", {"id": device})
    await client.disconnect()
    print(json.dumps({
        "package": version["package"],
        "status": status["status"],
        "state": event["data"]["state"],
        "run": run,
        "error": error,
        "recoveries": books[0]["recoveries"],
    }))


asyncio.run(main(*sys.argv[1:]))
