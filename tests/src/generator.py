# Sends the frames of a pcap file again and again through a packet socket, at a steady rate, until standard input
# closes. Then it prints the number of frames sent. Frames go out in batches, one system call each.
import ctypes, errno, os, select, socket, struct, sys, time

path, interface, rate = sys.argv[1], sys.argv[2], int(sys.argv[3])
BATCH = 50


class iovec(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("len", ctypes.c_size_t)]


class mmsghdr(ctypes.Structure):
    _fields_ = [
        ("name", ctypes.c_void_p), ("namelen", ctypes.c_uint32),
        ("iov", ctypes.c_void_p), ("iovlen", ctypes.c_size_t),
        ("control", ctypes.c_void_p), ("controllen", ctypes.c_size_t),
        ("flags", ctypes.c_int), ("sent", ctypes.c_uint32),
    ]


s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
s.bind((interface, 0))
# PACKET_QDISC_BYPASS
s.setsockopt(263, 20, 1)
data = open(path, "rb").read()
frames, at = [], 24
while at < len(data):
    length = struct.unpack_from("<I", data, at + 8)[0]
    frames.append((at + 16, length))
    at += 16 + length
memory = ctypes.create_string_buffer(data, len(data))
start = ctypes.addressof(memory)
vectors = (iovec * len(frames))(*(iovec(start + off, length) for off, length in frames))
first = ctypes.addressof(vectors)
size = ctypes.sizeof(iovec)
messages = (mmsghdr * len(frames))(
    *(mmsghdr(None, 0, first + index * size, 1, None, 0, 0, 0) for index in range(len(frames)))
)
sendmmsg = ctypes.CDLL(None, use_errno=True).sendmmsg
sendmmsg.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_uint, ctypes.c_int]
print("ready", flush=True)
origin, sent, at, fd = time.monotonic(), 0, 0, s.fileno()
while True:
    due = int((time.monotonic() - origin) * rate)
    while sent < due:
        count = sendmmsg(fd, ctypes.addressof(messages[at]), min(BATCH, len(frames) - at), 0)
        if count < 0:
            # ENOBUFS: the queue is full.
            if ctypes.get_errno() not in (errno.ENOBUFS, errno.EAGAIN):
                raise OSError(ctypes.get_errno(), "sendmmsg")
            continue
        sent, at = sent + count, (at + count) % len(frames)
    if select.select([sys.stdin], [], [], 0.001)[0] and not os.read(0, 1):
        break
print(sent, flush=True)
