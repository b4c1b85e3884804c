"""Sends frames (a line of hex each, from stdin) or receives them (to stdout) through a packet socket."""
import socket
import sys

PROTOCOLS = {"send": 0, "receive": 3, "receive-ip": 0x0800}

verb, interface, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
raw.bind((interface, PROTOCOLS[verb]))
if verb == "send":
    for line in sys.stdin:
        try:
            raw.send(bytes.fromhex(line))
        except OSError as error:
            sys.exit(f"{interface}: {error}")
else:
    print("!", end="", flush=True)
    raw.settimeout(5)
    try:
        for _ in range(count):
            print(raw.recv(65536).hex())
    except TimeoutError:
        pass
