"""Which system calls a job is denied, by name, with their numbers on each machine: data for system_calls.py.

Invariant: an entry is (number on x86_64, number on aarch64); NONE where a machine lacks the call.
Never: lists what an interpreter, a shell or their libraries need: those are tested with the list in force.
"""

from __future__ import annotations

NONE = -1

# Refused with EPERM, whatever the arguments.
FORBIDDEN = {
    # looking into other processes
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "kcmp": (312, 272),
    "pidfd_getfd": (438, 438), "process_madvise": (440, 440), "process_mrelease": (448, 448),
    "migrate_pages": (256, 238), "move_pages": (279, 239),
    # kernel keys, which outlive a process
    "add_key": (248, 217), "request_key": (249, 218), "keyctl": (250, 219),
    # parts of the kernel with a record of holes
    "bpf": (321, 280), "perf_event_open": (298, 241), "userfaultfd": (323, 282), "lookup_dcookie": (212, 18),
    "fanotify_init": (300, 262), "modify_ldt": (154, NONE), "uselib": (134, NONE), "nfsservctl": (180, 42),
    # mounts and namespaces
    "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41), "chroot": (161, 51),
    "open_tree": (428, 428), "move_mount": (429, 429), "fsopen": (430, 430), "fsconfig": (431, 431),
    "fsmount": (432, 432), "fspick": (433, 433), "mount_setattr": (442, 442), "open_tree_attr": (467, 467),
    "unshare": (272, 97), "setns": (308, 268), "open_by_handle_at": (304, 265),
    # the machine itself
    "create_module": (174, NONE), "init_module": (175, 105), "finit_module": (313, 273), "delete_module": (176, 106),
    "kexec_load": (246, 104), "kexec_file_load": (320, 294), "reboot": (169, 142), "swapon": (167, 224),
    "swapoff": (168, 225), "acct": (163, 89), "settimeofday": (164, 170), "clock_settime": (227, 112),
    "clock_adjtime": (305, 266), "adjtimex": (159, 171), "syslog": (103, 116), "quotactl": (179, 60),
    "quotactl_fd": (443, 443), "iopl": (172, NONE), "ioperm": (173, NONE), "vhangup": (153, 58),
    "sethostname": (170, 161), "setdomainname": (171, 162),
}  # fmt: skip

# Answered with ENOSYS, so that callers fall back: a filter cannot see what clone3 and io_uring are asked for, and
# memory behind memfd_create is in no process's account until it is mapped.
ABSENT = {
    "clone3": (435, 435), "io_uring_setup": (425, 425), "io_uring_enter": (426, 426), "io_uring_register": (427, 427),
    "memfd_create": (319, 279), "memfd_secret": (447, 447),
}  # fmt: skip

# Answered with ENOSYS where there is no IPC namespace: what they make is shared by the host and outlives the job.
ABSENT_WITHOUT_IPC_NAMESPACE = {
    "shmget": (29, 194), "shmctl": (31, 195), "shmat": (30, 196), "semget": (64, 190), "semctl": (66, 191),
    "semtimedop": (220, 192), "semop": (65, 193), "msgget": (68, 186), "msgctl": (71, 187), "msgrcv": (70, 188),
    "msgsnd": (69, 189), "mq_open": (240, 180), "mq_unlink": (241, 181),
}  # fmt: skip

# What depends on the arguments; system_calls.py has a piece of program for each.
CLONE = (56, 220)
SOCKET = (41, 198)
SOCKETPAIR = (53, 199)
FCNTL = (72, 25)
FALLOCATE = (285, 47)
IOCTL = (16, 29)
SETPRIORITY = (141, 140)
IOPRIO_SET = (251, 30)
# Their first argument is a process; only 0, the caller itself, is allowed.
ABOUT_A_PROCESS = {
    "prlimit64": (302, 261), "sched_setparam": (142, 118), "sched_setscheduler": (144, 119),
    "sched_setaffinity": (203, 122), "sched_setattr": (314, 274),
}  # fmt: skip
