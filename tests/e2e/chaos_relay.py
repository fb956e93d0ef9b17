"""chaos_relay.py - a TCP relay that holds every byte back for a while, in both directions.

usage: chaos_relay.py ADDRESS PORT TARGET_ADDRESS TARGET_PORT

A line "DELAY_MS JITTER_MS" on standard input is what holds from then on; the end of standard input ends it. The order of the
bytes stays: it is TCP.
"""
import asyncio
import os
import random
import sys

PIECE_BYTES = 65536
PIECES_MAX = 64  # under way in one direction; then the sender waits
wait_s = [0.0, 0.0]


async def read_orders():
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        wait_s[:] = [int(word) / 1000 for word in line.split()]


async def deliver(queue, writer):
    loop = asyncio.get_running_loop()
    while (held := await queue.get()) is not None:
        due, piece = held
        await asyncio.sleep(max(0, due - loop.time()))
        writer.write(piece)
        await writer.drain()
    writer.write_eof()


async def carry(reader, writer):
    """One direction, until its end; OSError where either connection breaks."""
    loop = asyncio.get_running_loop()
    queue = asyncio.Queue(PIECES_MAX)
    delivery = asyncio.create_task(deliver(queue, writer))
    try:
        while piece := await reader.read(PIECE_BYTES):
            await queue.put((loop.time() + wait_s[0] + random.random() * wait_s[1], piece))
            if delivery.done():
                break
        await queue.put(None)
        await delivery
    finally:
        delivery.cancel()


async def relay(reader, writer, target, target_port):
    """Both directions: until both are over, or one has broken."""
    try:
        there_reader, there_writer = await asyncio.open_connection(target, target_port)
    except OSError:
        writer.transport.abort()
        return
    directions = [asyncio.create_task(carry(reader, there_writer)), asyncio.create_task(carry(there_reader, writer))]
    await asyncio.wait(directions, return_when=asyncio.FIRST_EXCEPTION)
    for direction in directions:
        direction.cancel()
    await asyncio.gather(*directions, return_exceptions=True)
    writer.transport.abort()
    there_writer.transport.abort()


async def main(address, port, target, target_port):
    connections = set()  # the loop itself does not keep them

    async def on_connection(reader, writer):
        connections.add(asyncio.current_task())
        try:
            await relay(reader, writer, target, target_port)
        finally:
            connections.discard(asyncio.current_task())

    server = await asyncio.start_server(on_connection, address, int(port))
    print("relaying", flush=True)
    async with server:
        await read_orders()
        os._exit(0)  # leaving the server would wait for connections that may never end


asyncio.run(main(*sys.argv[1:]))
