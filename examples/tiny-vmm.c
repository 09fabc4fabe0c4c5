/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* tiny-vmm: a KVM machine that is snapshotted while it runs, tracked, and lazily restored, with libpagevault-memsnap.
 *
 *   tiny-vmm run FILE [TURNS]     run a machine; in the middle of it write a snapshot of it to FILE
 *   tiny-vmm store NAME [TURNS]   the same, into a store of pagevault ($PAGEVAULT_STORE), as NAME (MACHINE@SNAPSHOT)
 *   tiny-vmm track [TURNS]        run a machine and follow its memory by its dirty log; compare in the end
 *   tiny-vmm restore FILE [TURNS] go on from the snapshot in FILE; memory is read when it is touched
 *
 * What is in the store comes back from there: pagevault mount DIR; tiny-vmm restore DIR/NAME.vda.raw. Needs only the
 * library: cc tiny-vmm.c $(pkg-config --cflags --libs pagevault-memsnap)
 *
 * The guest is a real-mode program of twenty-odd bytes. It counts in the first word of 124 pages, one page after the
 * other, and rings a bell after each turn. So at every instant the counters of the pages before some page are one ahead
 * of those from it on: a snapshot in which that is not so is not of one instant.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* memfd_create */
#endif
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <memsnap/dirty-log.h>
#include <memsnap/memsnap.h>
#include <memsnap/pager.h>

enum
{
  PAGE = 4096,
  RAM_SIZE = 128 * PAGE,
  FIRST = 4, /* page that is counted in first; the program is in page 0 */
};

/* --- the machine --- */

static const guint8 program[] = {
  0xb8, 0x00, 0x04,       /* again: mov ax, 0x0400      segment of page 4 */
  0x8e, 0xd8,             /* page:  mov ds, ax */
  0xff, 0x06, 0x00, 0x00, /*        inc word [0] */
  0x05, 0x00, 0x01,       /*        add ax, 0x0100      the next page */
  0x3d, 0x00, 0x80,       /*        cmp ax, 0x8000 */
  0x75, 0xf2,             /*        jne page */
  0xe6, 0x10,             /*        out 0x10, al        the bell */
  0xeb, 0xeb,             /*        jmp again */
};

typedef struct
{
  char magic[16];
  struct kvm_regs regs;
  struct kvm_sregs sregs;
} Cpu;

#define MAGIC "tiny-vmm 1"

/* A snapshot is a page with its Cpu, then its memory: whole pages, which a store keeps once. */
enum
{
  FILE_RAM = PAGE, /* where the memory begins */
};
_Static_assert (sizeof (Cpu) <= FILE_RAM, "");

typedef struct
{
  int kvm, vm, vcpu;
  struct kvm_run *run;
  size_t run_size;
  guint8 *ram;
  pthread_t thread;
  pthread_mutex_t lock;
  pthread_cond_t changed;
  gboolean wanted, stopped, ended; /* under the lock */
  guint64 turns;                   /* under the lock */
} Machine;

static void
must (gboolean ok, const char *what)
{
  if (ok)
    return;
  fprintf (stderr, "tiny-vmm: %s: %s\n", what, strerror (errno));
  exit (1);
}

/* Prints why a function of the library failed. */
static void
must_be (gboolean ok, GError **error)
{
  if (ok)
    return;
  fprintf (stderr, "tiny-vmm: %s\n", (*error)->message);
  exit (1);
}

static void
on_kick (int signum)
{
}

static void
machine_new (Machine *self, guint8 *ram, const Cpu *cpu, gboolean track)
{
  struct kvm_userspace_memory_region region = { .flags = track ? KVM_MEM_LOG_DIRTY_PAGES : 0, .memory_size = RAM_SIZE,
                                                .userspace_addr = (guint64) (gsize) ram };
  struct sigaction action = { .sa_handler = on_kick };
  Cpu start = { .regs = { .rflags = 2 } };

  memset (self, 0, sizeof *self);
  pthread_mutex_init (&self->lock, NULL);
  pthread_cond_init (&self->changed, NULL);
  sigaction (SIGUSR1, &action, NULL);
  self->ram = ram;
  self->kvm = open ("/dev/kvm", O_RDWR | O_CLOEXEC);
  must (self->kvm >= 0, "cannot open /dev/kvm");
  self->vm = ioctl (self->kvm, KVM_CREATE_VM, 0);
  must (self->vm >= 0, "cannot make a machine");
  must (ioctl (self->vm, KVM_SET_USER_MEMORY_REGION, &region) == 0, "cannot give it memory");
  self->vcpu = ioctl (self->vm, KVM_CREATE_VCPU, 0);
  must (self->vcpu >= 0, "cannot make a vCPU");
  self->run_size = (size_t) ioctl (self->kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
  self->run = mmap (NULL, self->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, self->vcpu, 0);
  must (self->run != MAP_FAILED, "cannot map the vCPU");
  must (ioctl (self->vcpu, KVM_GET_SREGS, &start.sregs) == 0, "cannot read registers");
  start.sregs.cs.base = 0;
  start.sregs.cs.selector = 0;
  if (cpu == NULL)
    cpu = &start;
  must (ioctl (self->vcpu, KVM_SET_SREGS, &cpu->sregs) == 0, "cannot set segment registers");
  must (ioctl (self->vcpu, KVM_SET_REGS, &cpu->regs) == 0, "cannot set registers");
}

static void
machine_free (Machine *self)
{
  munmap (self->run, self->run_size);
  close (self->vcpu);
  close (self->vm);
  close (self->kvm);
}

/* The vCPU's thread: runs it, stops when that is wanted. */
static void *
run_vcpu (void *data)
{
  Machine *self = data;

  pthread_mutex_lock (&self->lock);
  while (!self->ended)
    {
      int result;

      self->stopped = self->wanted;
      if (self->stopped)
        {
          pthread_cond_broadcast (&self->changed);
          pthread_cond_wait (&self->changed, &self->lock);
          continue;
        }
      pthread_mutex_unlock (&self->lock);
      result = ioctl (self->vcpu, KVM_RUN, 0);
      must (result == 0 || errno == EINTR, "the vCPU cannot run");
      pthread_mutex_lock (&self->lock);
      self->run->immediate_exit = 0;
      if (result == 0 && self->run->exit_reason == KVM_EXIT_IO)
        {
          self->turns++;
          pthread_cond_broadcast (&self->changed);
        }
      else if (result == 0)
        {
          fprintf (stderr, "tiny-vmm: the vCPU ended with reason %u\n", self->run->exit_reason);
          exit (1);
        }
    }
  pthread_mutex_unlock (&self->lock);
  return NULL;
}

static void
machine_start (Machine *self)
{
  must (pthread_create (&self->thread, NULL, run_vcpu, self) == 0, "cannot start a thread");
}

/* Stops between two instructions: the registers can be read until machine_resume(). */
static void
machine_pause (Machine *self)
{
  pthread_mutex_lock (&self->lock);
  self->wanted = TRUE;
  while (!self->stopped)
    {
      struct timespec soon;

      self->run->immediate_exit = 1;
      pthread_kill (self->thread, SIGUSR1);
      clock_gettime (CLOCK_REALTIME, &soon);
      soon.tv_nsec += 1000000;
      soon.tv_sec += soon.tv_nsec / 1000000000;
      soon.tv_nsec %= 1000000000;
      pthread_cond_timedwait (&self->changed, &self->lock, &soon);
    }
  pthread_mutex_unlock (&self->lock);
}

static void
machine_resume (Machine *self)
{
  pthread_mutex_lock (&self->lock);
  self->wanted = self->stopped = FALSE;
  pthread_cond_broadcast (&self->changed);
  pthread_mutex_unlock (&self->lock);
}

static void
machine_wait (Machine *self, guint64 turns)
{
  pthread_mutex_lock (&self->lock);
  while (self->turns < turns)
    pthread_cond_wait (&self->changed, &self->lock);
  pthread_mutex_unlock (&self->lock);
}

static guint64
machine_turns (Machine *self)
{
  guint64 turns;

  pthread_mutex_lock (&self->lock);
  turns = self->turns;
  pthread_mutex_unlock (&self->lock);
  return turns;
}

static void
machine_stop (Machine *self)
{
  machine_pause (self);
  pthread_mutex_lock (&self->lock);
  self->ended = TRUE;
  pthread_cond_broadcast (&self->changed);
  pthread_mutex_unlock (&self->lock);
  pthread_join (self->thread, NULL);
}

/* The counter of the first page, when all of @ram is of one instant; exits otherwise. */
static guint
check (const guint8 *ram, const char *what)
{
  guint first = *(const guint16 *) (gconstpointer) (ram + FIRST * PAGE), before = first;
  gboolean stepped = FALSE;

  for (guint page = FIRST; page < RAM_SIZE / PAGE; page++)
    {
      guint now = *(const guint16 *) (gconstpointer) (ram + page * PAGE);

      if (now != before && (stepped || (guint16) (now + 1) != before))
        {
          fprintf (stderr, "tiny-vmm: %s: page %u is at %u, the one before it at %u\n", what, page, now, before);
          exit (1);
        }
      stepped = stepped || now != before;
      before = now;
    }
  printf ("%s: of one instant, in turn %u\n", what, first);
  return first;
}

static guint8 *
new_ram (void)
{
  guint8 *ram = mmap (NULL, RAM_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

  must (ram != MAP_FAILED, "cannot have memory");
  memcpy (ram, program, sizeof program);
  return ram;
}

/* --- what the library is for --- */

/* The guest runs on while its memory is written as it was, by plain loads. */
static void
write_snapshot (int fd, const Cpu *cpu, const guint8 *ram, const char *where)
{
  guint8 page[FILE_RAM] = { 0 };

  memcpy (page, cpu, sizeof *cpu);
  must (pwrite (fd, page, sizeof page, 0) == sizeof page && pwrite (fd, ram, RAM_SIZE, FILE_RAM) == RAM_SIZE, where);
}

/* Runs a machine, with a snapshot of the middle of it. */
static void
command_run (int fd, const char *where, guint64 turns)
{
  g_autoptr(PvMemsnap) snapshot = pv_memsnap_new ();
  g_autoptr(GError) error = NULL;
  Machine machine;
  PvMemsnapStats stats;
  Cpu cpu = { .magic = MAGIC };

  machine_new (&machine, new_ram (), NULL, FALSE);
  machine_start (&machine);
  machine_wait (&machine, turns / 2);
  must_be (pv_memsnap_add_region (snapshot, machine.ram, RAM_SIZE, &error), &error);
  must_be (pv_memsnap_prepare (snapshot, &error), &error);
  machine_pause (&machine);
  must (ioctl (machine.vcpu, KVM_GET_REGS, &cpu.regs) == 0 && ioctl (machine.vcpu, KVM_GET_SREGS, &cpu.sregs) == 0,
        "cannot read registers");
  must_be (pv_memsnap_take (snapshot, &error), &error);
  machine_resume (&machine);

  machine_wait (&machine, turns);
  write_snapshot (fd, &cpu, pv_memsnap_get_address (snapshot, 0), where);
  must_be (pv_memsnap_check (snapshot, &error), &error);
  check (pv_memsnap_get_address (snapshot, 0), "snapshot");
  machine_stop (&machine);
  check (machine.ram, "machine");
  pv_memsnap_get_stats (snapshot, &stats);
  printf ("engine %s, %" G_GUINT64_FORMAT " pages copied for the guest\n", pv_memsnap_get_engine (snapshot, NULL),
          stats.copies);
  machine_free (&machine);
}

/* The snapshot goes through memory into the store, never through a file. */
static void
command_store (const char *name, guint64 turns)
{
  const char *pagevault = g_getenv ("PAGEVAULT");
  int fd = memfd_create ("tiny-vmm", MFD_CLOEXEC), status;
  g_autofree char *path = g_strdup_printf ("/proc/%d/fd/%d", (int) getpid (), fd);
  const char *argv[] = { pagevault != NULL ? pagevault : "pagevault", "import", "--name", name, path, NULL };
  g_autoptr(GError) error = NULL;

  must (fd >= 0, "cannot make a memory file");
  command_run (fd, "memory file", turns);
  must_be (g_spawn_sync (NULL, (char **) argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, NULL, NULL, &status, &error)
               && g_spawn_check_wait_status (status, &error),
           &error);
  close (fd);
}

static gsize
follow (PvDirtyLog *log, const guint8 *ram, guint8 *copy)
{
  g_autoptr(GError) error = NULL;
  gsize n;
  const guint64 *dirty = pv_dirty_log_switch (log, &n, &error);

  must_be (dirty != NULL, &error);
  for (gsize page = 0; page < RAM_SIZE / PAGE; page++)
    {
      if ((dirty[page / 64] >> (page % 64) & 1) != 0)
        memcpy (copy + page * PAGE, ram + page * PAGE, PAGE);
    }
  return n;
}

static void
command_track (guint64 turns)
{
  g_autofree guint8 *copy = g_malloc0 (RAM_SIZE);
  g_autoptr(PvDirtyLog) log = NULL;
  g_autoptr(GError) error = NULL;
  Machine machine;
  guint64 rounds = 0;
  gsize seen = 0;

  machine_new (&machine, new_ram (), NULL, TRUE);
  memcpy (copy, machine.ram, RAM_SIZE);
  log = pv_dirty_log_new_kvm (machine.vm, 0, RAM_SIZE, &error);
  must_be (log != NULL, &error);
  machine_start (&machine);
  for (; machine_turns (&machine) < turns; rounds++)
    seen += follow (log, machine.ram, copy);
  machine_stop (&machine);
  seen += follow (log, machine.ram, copy);
  printf ("%" G_GUINT64_FORMAT " rounds, %" G_GSIZE_FORMAT " pages copied\n", rounds, seen);
  if (memcmp (copy, machine.ram, RAM_SIZE) != 0)
    {
      fprintf (stderr, "tiny-vmm: the copy that followed the dirty log differs\n");
      exit (1);
    }
  check (copy, "copy");
  machine_free (&machine);
}

static gboolean
read_page (guint64 offset, gpointer page, gsize size, gboolean is_wanted, gpointer data, GError **error)
{
  int fd = GPOINTER_TO_INT (data);

  if (pread (fd, page, size, (off_t) (FILE_RAM + offset)) == (ssize_t) size)
    return TRUE;
  g_set_error (error, G_FILE_ERROR, G_FILE_ERROR_IO, "the file ends early");
  return FALSE;
}

/* The pager is a process of its own: it could be killed and another one be given the memory. */
static void
run_pager (int socket, int file)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(PvPager) pager = pv_pager_new_receive (socket, read_page, GINT_TO_POINTER (file), &error);
  PvPagerStats stats;

  if (pager == NULL || !pv_pager_run (pager, &error))
    {
      kill (getppid (), SIGTERM); /* the machine would wait for its memory for ever */
      must_be (FALSE, &error);
    }
  pv_pager_get_stats (pager, &stats);
  printf ("pager: %" G_GUINT64_FORMAT " pages, %" G_GUINT64_FORMAT " on demand\n", stats.placed, stats.on_demand);
  fflush (stdout);
  _exit (0);
}

static void
command_restore (const char *path, guint64 turns)
{
  g_autoptr(PvPagedMemory) memory = NULL;
  g_autoptr(GError) error = NULL;
  int file = open (path, O_RDONLY | O_CLOEXEC), ends[2], status;
  gboolean user_only;
  Machine machine;
  pid_t pager;
  Cpu cpu;

  must (file >= 0, path);
  must (pread (file, &cpu, sizeof cpu, 0) == sizeof cpu, path);
  if (memcmp (cpu.magic, MAGIC, sizeof MAGIC) != 0 || lseek (file, 0, SEEK_END) != FILE_RAM + RAM_SIZE)
    {
      fprintf (stderr, "tiny-vmm: %s is no snapshot of a tiny machine\n", path);
      exit (1);
    }
  memory = pv_paged_memory_new (RAM_SIZE, &user_only, &error);
  must_be (memory != NULL, &error);
  if (user_only)
    {
      fprintf (stderr, "tiny-vmm: KVM touches guest memory from the kernel: allow /dev/userfaultfd, or set sysctl "
               "vm.unprivileged_userfaultfd=1\n");
      exit (1);
    }
  must (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0, "cannot make a socket");
  fflush (stdout);
  pager = fork ();
  must (pager >= 0, "cannot fork");
  if (pager == 0)
    run_pager (ends[1], file);
  must_be (pv_paged_memory_send (memory, ends[0], &error), &error);
  machine_new (&machine, pv_paged_memory_get_address (memory), &cpu, FALSE);
  machine_start (&machine);
  machine_wait (&machine, turns);
  machine_stop (&machine);
  check (machine.ram, "restored");
  must (waitpid (pager, &status, 0) == pager && status == 0, "the pager failed");
  machine_free (&machine);
}

/* Into a new file. */
static void
command_file (const char *path, guint64 turns)
{
  int fd = open (path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

  must (fd >= 0, path);
  command_run (fd, path, turns);
  must (close (fd) == 0, path);
}

int
main (int argc, char **argv)
{
  static const struct
  {
    const char *name;
    void (*function) (const char *path, guint64 turns);
  } commands[] = { { "run", command_file }, { "store", command_store }, { "restore", command_restore } };
  guint64 turns = argc > 2 ? g_ascii_strtoull (argv[argc - 1], NULL, 10) : 0;

  if (turns == 0)
    turns = 2000;
  setvbuf (stdout, NULL, _IOLBF, 0);
  if (argc >= 2 && strcmp (argv[1], "track") == 0)
    {
      command_track (turns);
      return 0;
    }
  for (guint i = 0; argc >= 3 && i < G_N_ELEMENTS (commands); i++)
    if (strcmp (argv[1], commands[i].name) == 0)
      {
        commands[i].function (argv[2], turns);
        return 0;
      }
  fprintf (stderr, "usage: tiny-vmm run FILE [TURNS] | store NAME [TURNS] | track [TURNS] | restore FILE [TURNS]\n");
  return 2;
}
