/*
 * A disk that fails on command, below one process: loaded with LD_PRELOAD it stands between the C library and everything that
 * SQLite and the runtime do to files of one directory. faulty-disk.ts builds and steers it, and undoes what a power cut would.
 *
 * Every change that is not synced is written down in a journal, with what was there before: the page cache survives SIGKILL, so
 * the changes must be taken back afterwards. Memory mapped files are left out; of ours that is SQLite's -shm, which a start drops.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

/* The control page: 64-bit numbers in a file that both sides map. Same order as `cells` in faulty-disk.ts. */
enum cell { JOURNAL, STALL, FULL, LIE, FAIL, FAIL_AFTER, CLOCK, WRITES, SYNCS, STALLED, REFUSED, FAILED, LIED, CELLS };

/* What a file is, as bits of a mask. Same as `files` in faulty-disk.ts. */
enum { NONE = 0, LOG = 1, STATE = 2, OUTBOX = 4, OTHER = 8, DIRECTORY = 16 };

enum kind { WRITE = 1, RESIZE, SYNC, CREATE, RENAME, UNLINK, SYNC_DIRECTORY };

/* Header of one record. Behind it: the path (and the second one), what was there before, what was written. */
struct record {
  uint32_t magic, kind;
  uint64_t order, inode, offset, size, first, second, third;
};
static const uint32_t magic = 0x6b736964;

static _Atomic int64_t *cells;
static char home[PATH_MAX], data[PATH_MAX];
static size_t data_length;
static int journal = -1;
static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;

/* Descriptors of files of ours. The inode tells whether the number still means the same file. */
#define DESCRIPTORS 65536
static struct descriptor { _Atomic int file; ino_t inode; } table[DESCRIPTORS];

#define REAL(name) \
  static __typeof__(name) *real; \
  if (!real) real = (__typeof__(name) *)dlsym(RTLD_NEXT, #name)

static ssize_t real_pread(int fd, void *to, size_t size, off_t at) { return syscall(SYS_pread64, fd, to, size, at); }

static void trap_own_calls(void);

__attribute__((constructor)) static void begin(void) {
  const char *where = getenv("FAULTY_DISK"), *what = getenv("FAULTY_DISK_DATA");
  if (!where || !what) return;
  snprintf(home, sizeof home, "%s", where);
  snprintf(data, sizeof data, "%s", what);
  data_length = strlen(data);
  char path[PATH_MAX + 64];
  snprintf(path, sizeof path, "%s/control", home);
  int fd = syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC, 0);
  if (fd < 0) return;
  void *page = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  syscall(SYS_close, fd);
  if (page == MAP_FAILED) return;
  cells = page;
  trap_own_calls();
}

static int in_data(const char *path) {
  return cells && !strncmp(path, data, data_length) && (path[data_length] == '/' || path[data_length] == 0);
}

/* Only absolute paths are looked at: the product makes its paths from an absolute --data. */
static int file_of(const char *path) {
  if (!cells || !path || !in_data(path)) return NONE;
  const char *name = path + data_length + (path[data_length] == '/');
  size_t length = strlen(name);
  if (length > 4 && !strcmp(name + length - 4, "-shm")) return NONE;
  if (strstr(name, ".lock") || !strncmp(name, "lock", 4) || strstr(name, ".sock")) return NONE;
  if (!strncmp(name, "log.db", 6)) return LOG;
  if (!strncmp(name, "state.db", 8)) return STATE;
  if (!strncmp(name, "guard.outbox", 12)) return OUTBOX;
  return OTHER;
}

static int known(int fd) {
  if (fd < 0 || fd >= DESCRIPTORS) return NONE;
  int file = atomic_load(&table[fd].file);
  if (file == NONE) return NONE;
  struct stat now;
  if (fstat(fd, &now) || now.st_ino != table[fd].inode) {
    atomic_store(&table[fd].file, NONE);
    return NONE;
  }
  return file;
}

static void know(int fd, const char *path) {
  if (fd < 0 || fd >= DESCRIPTORS) return;
  int file = file_of(path);
  struct stat now;
  if (file == NONE || fstat(fd, &now)) file = NONE;
  else {
    table[fd].inode = now.st_ino;
    if (S_ISDIR(now.st_mode)) file = DIRECTORY;
  }
  atomic_store(&table[fd].file, file);
}

static uint64_t now_order(void) {
  struct timespec at;
  syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &at);
  return (uint64_t)at.tv_sec * 1000000000ull + at.tv_nsec;
}

/* One writev to a file that is appended to: a record is there whole or, at the very end, in part. */
static void keep(struct record head, const void *first, const void *second, const void *third) {
  if (journal < 0) {
    char path[PATH_MAX + 64];
    snprintf(path, sizeof path, "%s/journal.%d.%llu", home, getpid(), (unsigned long long)now_order());
    journal = syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (journal < 0) abort();
  }
  head.magic = magic;
  if (head.order == 0) head.order = now_order();
  struct iovec parts[4] = {{&head, sizeof head}, {(void *)first, head.first}, {(void *)second, head.second}, {(void *)third, head.third}};
  ssize_t whole = sizeof head + head.first + head.second + head.third;
  /* A record that is missing would be a change that no power cut can take back: better to stop here. */
  if (syscall(SYS_writev, journal, parts, 4) != whole) abort();
}

static int journaling(void) { return cells && atomic_load(&cells[JOURNAL]) != 0; }

static void stall(int file) {
  if (!(atomic_load(&cells[STALL]) & file)) return;
  atomic_fetch_add(&cells[STALLED], 1);
  while (atomic_load(&cells[STALL]) & file) {
    struct timespec pause = {0, 1000000};
    syscall(SYS_nanosleep, &pause, 0);
  }
  atomic_fetch_sub(&cells[STALLED], 1);
}

static int is_full(int file) {
  if (!(atomic_load(&cells[FULL]) & file)) return 0;
  atomic_fetch_add(&cells[REFUSED], 1);
  errno = ENOSPC;
  return 1;
}

/* Notes the bytes that a write at `offset` replaces, then the bytes it writes. Called with the turn held. */
static void note_write(int fd, const void *bytes, size_t size, off_t offset) {
  atomic_fetch_add(&cells[WRITES], 1);
  if (!journaling()) return;
  struct stat before;
  if (fstat(fd, &before)) return;
  char *old = size ? malloc(size) : 0;
  ssize_t there = 0;
  int saved = errno;
  /* A descriptor that cannot be read is read through another one. */
  if (size && offset < before.st_size) {
    there = real_pread(fd, old, size, offset);
    if (there < 0) {
      char path[64];
      snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
      int other = syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
      there = other < 0 ? -1 : real_pread(other, old, size, offset);
      if (other >= 0) syscall(SYS_close, other);
      if (there < 0) abort();
    }
  }
  struct record head = {.kind = WRITE, .inode = before.st_ino, .offset = offset, .size = before.st_size, .second = there, .third = size};
  keep(head, 0, old, bytes);
  free(old);
  errno = saved;
}

static void note_resize(const char *path, int fd, off_t size) {
  struct stat before;
  if (!journaling() || (fd >= 0 ? fstat(fd, &before) : stat(path, &before)) || before.st_size == size) return;
  size_t cut = before.st_size > size ? before.st_size - size : 0;
  char *old = cut ? malloc(cut) : 0;
  if (cut) {
    char name[64];
    if (fd >= 0) snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
    int other = syscall(SYS_openat, AT_FDCWD, fd >= 0 ? name : path, O_RDONLY | O_CLOEXEC, 0);
    if (other < 0 || real_pread(other, old, cut, size) != (ssize_t)cut) abort();
    syscall(SYS_close, other);
  }
  struct record head = {.kind = RESIZE, .inode = before.st_ino, .offset = size, .size = before.st_size, .second = cut};
  keep(head, 0, old, 0);
  free(old);
}

static off_t position(int fd) {
  int flags = fcntl(fd, F_GETFL);
  return lseek(fd, 0, flags >= 0 && (flags & O_APPEND) ? SEEK_END : SEEK_CUR);
}

ssize_t write(int fd, const void *bytes, size_t size) {
  REAL(write);
  int file = known(fd);
  if (file == NONE) return real(fd, bytes, size);
  stall(file);
  if (is_full(file)) return -1;
  pthread_mutex_lock(&turn);
  off_t saved = lseek(fd, 0, SEEK_CUR), at = position(fd);
  lseek(fd, saved, SEEK_SET);
  note_write(fd, bytes, size, at);
  ssize_t done = real(fd, bytes, size);
  pthread_mutex_unlock(&turn);
  return done;
}

ssize_t pwrite64(int fd, const void *bytes, size_t size, off64_t at) {
  REAL(pwrite64);
  int file = known(fd);
  if (file == NONE) return real(fd, bytes, size, at);
  stall(file);
  if (is_full(file)) return -1;
  pthread_mutex_lock(&turn);
  note_write(fd, bytes, size, at);
  ssize_t done = real(fd, bytes, size, at);
  pthread_mutex_unlock(&turn);
  return done;
}

ssize_t pwrite(int fd, const void *bytes, size_t size, off_t at) { return pwrite64(fd, bytes, size, at); }

/* Cut into single writes: a caller has to reckon with a short one in any case. */
ssize_t writev(int fd, const struct iovec *parts, int count) {
  REAL(writev);
  if (known(fd) == NONE) return real(fd, parts, count);
  ssize_t all = 0;
  for (int at = 0; at < count; at++) {
    ssize_t done = parts[at].iov_len ? write(fd, parts[at].iov_base, parts[at].iov_len) : 0;
    if (done < 0) return all ? all : -1;
    all += done;
    if ((size_t)done < parts[at].iov_len) break;
  }
  return all;
}

ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t offset) {
  REAL(pwritev);
  if (known(fd) == NONE) return real(fd, parts, count, offset);
  ssize_t all = 0;
  for (int at = 0; at < count; at++) {
    ssize_t done = parts[at].iov_len ? pwrite64(fd, parts[at].iov_base, parts[at].iov_len, offset + all) : 0;
    if (done < 0) return all ? all : -1;
    all += done;
    if ((size_t)done < parts[at].iov_len) break;
  }
  return all;
}
ssize_t pwritev64(int fd, const struct iovec *parts, int count, off64_t offset) { return pwritev(fd, parts, count, offset); }

int ftruncate64(int fd, off64_t size) {
  REAL(ftruncate64);
  int file = known(fd);
  if (file == NONE) return real(fd, size);
  stall(file);
  pthread_mutex_lock(&turn);
  note_resize(0, fd, size);
  int done = real(fd, size);
  pthread_mutex_unlock(&turn);
  return done;
}
int ftruncate(int fd, off_t size) { return ftruncate64(fd, size); }

int fallocate(int fd, int mode, off_t offset, off_t length) {
  REAL(fallocate);
  int file = known(fd);
  if (file == NONE) return real(fd, mode, offset, length);
  if (is_full(file)) return -1;
  /* Nothing of ours depends on it, and a caller must live without. */
  errno = EOPNOTSUPP;
  return -1;
}

static int sync_with(int fd, int (*real)(int)) {
  int file = known(fd);
  if (file == NONE) return real(fd);
  stall(file);
  atomic_fetch_add(&cells[SYNCS], 1);
  if ((atomic_load(&cells[FAIL]) & file) && atomic_fetch_sub(&cells[FAIL_AFTER], 1) <= 1) {
    atomic_fetch_add(&cells[FAILED], 1);
    errno = EIO;
    return -1;
  }
  if (atomic_load(&cells[LIE]) & file) {
    atomic_fetch_add(&cells[LIED], 1);
    return 0;
  }
  pthread_mutex_lock(&turn);
  uint64_t began = now_order();
  pthread_mutex_unlock(&turn);
  int done = real(fd);
  struct stat what;
  if (done == 0 && journaling() && !fstat(fd, &what)) {
    pthread_mutex_lock(&turn);
    /* `offset`: all that was written before this moment is durable now. */
    struct record head = {.kind = file == DIRECTORY ? SYNC_DIRECTORY : SYNC, .inode = what.st_ino, .offset = began};
    keep(head, 0, 0, 0);
    pthread_mutex_unlock(&turn);
  }
  return done;
}

int fsync(int fd) { REAL(fsync); return sync_with(fd, real); }
int fdatasync(int fd) { REAL(fdatasync); return sync_with(fd, real); }

static int open_with(const char *path, int flags, mode_t mode) {
  int file = file_of(path);
  if (file == NONE) return syscall(SYS_openat, AT_FDCWD, path, flags, mode);
  struct stat before;
  pthread_mutex_lock(&turn);
  int is_new = stat(path, &before) != 0;
  if (is_new && (flags & O_CREAT) && is_full(file)) {
    pthread_mutex_unlock(&turn);
    return -1;
  }
  if (!is_new && (flags & O_TRUNC) && (flags & O_ACCMODE) != O_RDONLY && !(flags & O_EXCL)) note_resize(path, -1, 0);
  int fd = syscall(SYS_openat, AT_FDCWD, path, flags, mode);
  int saved = errno;
  struct stat made;
  if (fd >= 0 && is_new && journaling() && !fstat(fd, &made) && S_ISREG(made.st_mode)) {
    struct record head = {.kind = CREATE, .inode = made.st_ino, .first = strlen(path)};
    keep(head, path, 0, 0);
  }
  know(fd, path);
  pthread_mutex_unlock(&turn);
  errno = saved;
  return fd;
}

#define MODE_OF(flags) \
  mode_t mode = 0; \
  if ((flags) & (O_CREAT | __O_TMPFILE)) { va_list rest; va_start(rest, flags); mode = va_arg(rest, mode_t); va_end(rest); }

int open(const char *path, int flags, ...) { MODE_OF(flags) return open_with(path, flags, mode); }
int open64(const char *path, int flags, ...) { MODE_OF(flags) return open_with(path, flags | O_LARGEFILE, mode); }
int openat(int at, const char *path, int flags, ...) {
  MODE_OF(flags)
  if (path[0] == '/') return open_with(path, flags, mode);
  return syscall(SYS_openat, at, path, flags, mode);
}
int openat64(int at, const char *path, int flags, ...) {
  MODE_OF(flags)
  if (path[0] == '/') return open_with(path, flags | O_LARGEFILE, mode);
  return syscall(SYS_openat, at, path, flags | O_LARGEFILE, mode);
}

/* The content of a name that goes stays reachable by its inode, in `kept`, until no power cut can bring the name back. */
static void keep_content(const char *path, struct stat *what) {
  if (!S_ISREG(what->st_mode)) return;
  char kept[PATH_MAX + 64];
  snprintf(kept, sizeof kept, "%s/kept/%llu", home, (unsigned long long)what->st_ino);
  linkat(AT_FDCWD, path, AT_FDCWD, kept, 0);
}

static int rename_with(const char *from, const char *to) {
  struct stat moved, replaced;
  if (!journaling() || file_of(from) == NONE || file_of(to) == NONE || lstat(from, &moved))
    return syscall(SYS_renameat, AT_FDCWD, from, AT_FDCWD, to);
  pthread_mutex_lock(&turn);
  int over = lstat(to, &replaced) == 0;
  if (over) keep_content(to, &replaced);
  int done = syscall(SYS_renameat, AT_FDCWD, from, AT_FDCWD, to);
  int saved = errno;
  if (done == 0) {
    struct record head = {.kind = RENAME, .inode = moved.st_ino, .offset = over ? replaced.st_ino : 0, .first = strlen(from), .second = strlen(to)};
    keep(head, from, to, 0);
  }
  pthread_mutex_unlock(&turn);
  errno = saved;
  return done;
}

int rename(const char *from, const char *to) { return rename_with(from, to); }
int renameat(int a, const char *from, int b, const char *to) {
  if (from[0] == '/' && to[0] == '/') return rename_with(from, to);
  return syscall(SYS_renameat, a, from, b, to);
}

static int unlink_with(const char *path) {
  struct stat what;
  if (!journaling() || file_of(path) == NONE || lstat(path, &what) || !S_ISREG(what.st_mode))
    return syscall(SYS_unlinkat, AT_FDCWD, path, 0);
  pthread_mutex_lock(&turn);
  keep_content(path, &what);
  int done = syscall(SYS_unlinkat, AT_FDCWD, path, 0);
  int saved = errno;
  if (done == 0) {
    struct record head = {.kind = UNLINK, .inode = what.st_ino, .first = strlen(path)};
    keep(head, path, 0, 0);
  }
  pthread_mutex_unlock(&turn);
  errno = saved;
  return done;
}

int unlink(const char *path) { return unlink_with(path); }
int unlinkat(int at, const char *path, int flags) {
  if (path[0] == '/' && !(flags & AT_REMOVEDIR)) return unlink_with(path);
  return syscall(SYS_unlinkat, at, path, flags);
}

/* The wall clock alone can be set off; what measures time uses the monotonic one. */
static void shift(struct timespec *at) {
  int64_t off = cells ? atomic_load(&cells[CLOCK]) : 0;
  if (off == 0) return;
  int64_t whole = (int64_t)at->tv_sec * 1000000000ll + at->tv_nsec + off * 1000000ll;
  at->tv_sec = whole / 1000000000ll;
  at->tv_nsec = whole % 1000000000ll;
}

int clock_gettime(clockid_t clock, struct timespec *at) {
  REAL(clock_gettime);
  int done = real(clock, at);
  if (done == 0 && clock == CLOCK_REALTIME) shift(at);
  return done;
}

int gettimeofday(struct timeval *restrict at, void *restrict zone) {
  (void)zone;
  struct timespec precise;
  int done = clock_gettime(CLOCK_REALTIME, &precise);
  at->tv_sec = precise.tv_sec;
  at->tv_usec = precise.tv_nsec / 1000;
  return done;
}

/*
 * The runtime makes some calls (open, write, ftruncate) without the C library. The kernel is asked to turn those that come from the
 * code of the executable itself into a signal, whose handler makes them through the functions above. What the library does for
 * us comes from elsewhere, and passes.
 */
#if defined(__x86_64__)
static void on_own_call(int number, siginfo_t *info, void *context) {
  (void)number;
  greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;
  long a = registers[REG_RDI], b = registers[REG_RSI], c = registers[REG_RDX], d = registers[REG_R10];
  int saved = errno;
  errno = 0;
  long result;
  switch (info->si_syscall) {
    case SYS_write: result = write(a, (const void *)b, c); break;
    case SYS_pwrite64: result = pwrite64(a, (const void *)b, c, d); break;
    case SYS_writev: result = writev(a, (const struct iovec *)b, c); break;
    case SYS_pwritev: result = pwritev(a, (const struct iovec *)b, c, d); break;
    case SYS_ftruncate: result = ftruncate64(a, b); break;
    case SYS_fsync: result = fsync(a); break;
    case SYS_fdatasync: result = fdatasync(a); break;
    case SYS_openat: result = openat(a, (const char *)b, c, (mode_t)d); break;
    case SYS_open: result = open((const char *)a, b, (mode_t)c); break;
    case SYS_rename: result = rename((const char *)a, (const char *)b); break;
    case SYS_renameat: result = renameat(a, (const char *)b, c, (const char *)d); break;
    case SYS_unlink: result = unlink((const char *)a); break;
    case SYS_unlinkat: result = unlinkat(a, (const char *)b, c); break;
    default: result = -1; errno = ENOSYS;
  }
  registers[REG_RAX] = result < 0 ? -(long)errno : result;
  errno = saved;
}

/* The runtime has a handler of its own for calls that a sandbox refuses: ours stays. */
static int trapping;
int sigaction(int number, const struct sigaction *restrict action, struct sigaction *restrict before) {
  REAL(sigaction);
  return real(number, number == SIGSYS && trapping ? 0 : action, before);
}

static int find_code(struct dl_phdr_info *object, size_t size, void *found) {
  (void)size;
  /* The executable comes first. */
  for (int at = 0; at < object->dlpi_phnum; at++) {
    const ElfW(Phdr) *part = &object->dlpi_phdr[at];
    if (part->p_type != PT_LOAD || !(part->p_flags & PF_X)) continue;
    uint64_t *range = found;
    range[0] = object->dlpi_addr + part->p_vaddr;
    range[1] = range[0] + part->p_memsz;
  }
  return 1;
}

static void trap_own_calls(void) {
  uint64_t code[2] = {0, 0};
  dl_iterate_phdr(find_code, code);
  /* Only code at a fixed place below 4 GiB: there a child that inherits the filter is the same executable, or never traps. */
  if (code[0] == 0 || code[1] > UINT32_MAX) return;
  struct sigaction action = {.sa_sigaction = on_own_call, .sa_flags = SA_SIGINFO | SA_NODEFER | SA_RESTART};
  if (sigaction(SIGSYS, &action, 0)) return;
  trapping = 1;
#define LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define TRAP(call) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call, 0, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP)
  struct sock_filter filter[] = {
    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, instruction_pointer) + 4),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 1, 0),
    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    LOAD(instruction_pointer),
    BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, (uint32_t)code[0], 1, 0),
    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, (uint32_t)code[1], 0, 1),
    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    LOAD(nr),
    TRAP(SYS_write), TRAP(SYS_pwrite64), TRAP(SYS_writev), TRAP(SYS_pwritev), TRAP(SYS_ftruncate), TRAP(SYS_fsync),
    TRAP(SYS_fdatasync), TRAP(SYS_openat), TRAP(SYS_open), TRAP(SYS_rename), TRAP(SYS_renameat), TRAP(SYS_unlink), TRAP(SYS_unlinkat),
    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  struct sock_fprog program = {sizeof filter / sizeof *filter, filter};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program)) perror("faulty-disk: seccomp");
}
#else
static void trap_own_calls(void) {}
#endif
