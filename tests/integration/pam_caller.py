# SPDX-License-Identifier: Apache-2.0
# A program of two threads that opens a session and closes it: SERVICE USER. It prints where the threads are before, in
# between and after: a line for each of the one that opens and the other, with IPC namespace, mount namespace, root and
# working directory.
import ctypes
import os
import sys
import threading

pam = ctypes.CDLL("libpam.so.0")
Conversation = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)


class Conv(ctypes.Structure):
    _fields_ = [("conv", Conversation), ("data", ctypes.c_void_p)]


def where():
    me = "/proc/thread-self/"
    root, folder = os.stat("/"), os.stat(".")
    return [os.readlink(me + "ns/ipc"), os.readlink(me + "ns/mnt"), root.st_dev, root.st_ino, folder.st_dev, folder.st_ino]


asked, answered = threading.Semaphore(0), threading.Semaphore(0)
answer = None


def other():
    global answer
    while True:
        asked.acquire()
        answer = where()
        answered.release()


def say(when):
    asked.release()
    answered.acquire()
    print(when, "opens", *where())
    print(when, "other", *answer, flush=True)


threading.Thread(target=other, daemon=True).start()
conversation = Conv(Conversation(lambda *_: 19), None)  # PAM_CONV_ERR
handle = ctypes.c_void_p()
assert pam.pam_start(sys.argv[1].encode(), sys.argv[2].encode(), ctypes.byref(conversation), ctypes.byref(handle)) == 0
for i in range(2):
    say("before")
    assert pam.pam_open_session(handle, 0) == 0
    say("inside")
    # What many programs do in the child before they execute the shell.
    child = os.fork()
    if child == 0:
        pam.pam_end(handle, 0x40000000)  # PAM_DATA_SILENT
        print("child", "opens", *where(), flush=True)
        os._exit(0)
    os.waitpid(child, 0)
    assert pam.pam_close_session(handle, 0) == 0
    say("after")
pam.pam_end(handle, 0)
