/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Engine fork: a child process has the memory as it was, by the kernel's copy-on-write; it copies pages out on request
 * and gives back what is released.
 *
 * fork(2) holds back the page faults of all threads until every page is shared and read-only, so its end is one
 * instant for all of memory. The child is made by clone(2) without a signal at its end: the program's own wait() does
 * not see it and no atfork handler runs. It closes all descriptors but its own, writes to no memory but its stack and
 * the shared page of requests, and dies with the program.
 */
#include "config.h"

#include "memsnap/memsnap-fork.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "memsnap/futex.h"
#include "memsnap/memory-map.h"
#include "memsnap/memsnap-service.h"
#include "memsnap/memsnap-trap.h"
#include "util/error.h"

enum
{
  SLOTS = 8,               /* requests under way at a time */
  SLOT_DATA = 64 * 1024,   /* bytes */
  SLOT_PAGES = SLOT_DATA / 8,
  PAGE = 4096,
  ALIVE_MS = 200,          /* how often who waits asks whether the child lives */
};

/* Bits of /proc/PID/pagemap. */
#define PAGEMAP_PRESENT (G_GUINT64_CONSTANT (1) << 63)
#define PAGEMAP_FILE (G_GUINT64_CONSTANT (1) << 61)
#define PAGEMAP_EXCLUSIVE (G_GUINT64_CONSTANT (1) << 56)

typedef enum
{
  OP_READ,    /* copies size bytes at address into data */
  OP_RELEASE, /* gives back size bytes at address */
  OP_LOOK,    /* reads the pagemap words of size / PAGE pages at address into data */
  OP_SPILL,   /* writes size bytes at address to the spill file at offset */
} Op;

typedef struct
{
  int taken;
  int state; /* futex: 0 idle, 1 asked, 2 done */
  Op op;
  int result; /* 0 or errno */
  guint64 address, size, offset;
  guint8 data[SLOT_DATA] __attribute__ ((aligned (PAGE)));
} Slot;

struct _PvForkChild
{
  int doorbell; /* futex */
  int pidfd;    /* ours; the child has none */
  int pid;
  Slot slots[SLOTS];
};

/* --- the child: only system calls and memcpy --- */

static void
close_all_but (int keep)
{
#ifdef SYS_close_range
  if ((keep <= 0 || syscall (SYS_close_range, 0, keep - 1, 0) == 0)
      && syscall (SYS_close_range, keep < 0 ? 0 : keep + 1, ~0u, 0) == 0)
    return;
#endif
  for (int fd = 0; fd < 65536; fd++)
    {
      if (fd != keep)
        close (fd);
    }
}

static int
serve_slot (Slot *slot, int pagemap, int spill_fd)
{
  gpointer memory = (gpointer) (gsize) slot->address;
  gsize done = 0;

  switch (slot->op)
    {
    case OP_READ:
      memcpy (slot->data, memory, slot->size);
      return 0;
    case OP_RELEASE:
      return madvise (memory, slot->size, MADV_DONTNEED) < 0 ? errno : 0;
    case OP_LOOK:
      return pread (pagemap, slot->data, slot->size / PAGE * 8, (off_t) (slot->address / PAGE * 8))
               == (ssize_t) (slot->size / PAGE * 8) ? 0 : EIO;
    case OP_SPILL:
      while (done < slot->size)
        {
          ssize_t n = pwrite (spill_fd, (guint8 *) memory + done, slot->size - done, (off_t) (slot->offset + done));

          if (n < 0 && errno != EINTR)
            return errno;
          done += n < 0 ? 0 : (gsize) n;
        }
      return 0;
    default:
      return EINVAL;
    }
}

static void G_GNUC_NORETURN
child_main (PvForkChild *child, int spill_fd, pid_t parent)
{
  int pagemap;

  prctl (PR_SET_PDEATHSIG, SIGKILL);
  if (syscall (SYS_getppid) != parent)
    syscall (SYS_exit_group, 0);
  close_all_but (spill_fd);
  pagemap = open ("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
  for (;;)
    {
      int rung = __atomic_load_n (&child->doorbell, __ATOMIC_ACQUIRE);

      for (guint i = 0; i < SLOTS; i++)
        {
          Slot *slot = &child->slots[i];

          if (__atomic_load_n (&slot->state, __ATOMIC_ACQUIRE) != 1)
            continue;
          slot->result = serve_slot (slot, pagemap, spill_fd);
          __atomic_store_n (&slot->state, 2, __ATOMIC_RELEASE);
          pv_futex_wake (&slot->state);
        }
      pv_futex_wait (&child->doorbell, rung, 0);
    }
}

/* --- the program's side --- */

static gboolean
is_alive (const PvForkChild *child)
{
  struct pollfd fd = { .fd = child->pidfd, .events = POLLIN };

  return poll (&fd, 1, 0) == 0;
}

static Slot *
take_slot (PvForkChild *child, guint first)
{
  for (guint i = first;; i = i + 1 < SLOTS ? i + 1 : 1)
    {
      if (__atomic_exchange_n (&child->slots[i].taken, 1, __ATOMIC_ACQUIRE) == 0)
        return &child->slots[i];
      sched_yield ();
    }
}

static int
ask (PvForkChild *child, Slot *slot, Op op, guint64 address, guint64 size, guint64 offset)
{
  slot->op = op;
  slot->address = address;
  slot->size = size;
  slot->offset = offset;
  __atomic_store_n (&slot->state, 1, __ATOMIC_RELEASE);
  __atomic_add_fetch (&child->doorbell, 1, __ATOMIC_RELEASE);
  pv_futex_wake (&child->doorbell);
  while (__atomic_load_n (&slot->state, __ATOMIC_ACQUIRE) != 2)
    {
      pv_futex_wait (&slot->state, 1, ALIVE_MS);
      if (__atomic_load_n (&slot->state, __ATOMIC_ACQUIRE) != 2 && !is_alive (child))
        return ESRCH;
    }
  return slot->result;
}

static void
give_slot (Slot *slot)
{
  __atomic_store_n (&slot->taken, 0, __ATOMIC_RELEASE);
}

/* The first slot is kept for the owner, which waits for nobody. */
static int
ask_as_owner (PvMemsnap *self, Op op, guint64 address, guint64 size, guint64 offset, Slot **slot)
{
  *slot = &self->child->slots[0];
  return ask (self->child, *slot, op, address, size, offset);
}

static int
fork_fetch (PvMemsnap *self, PvMemsnapRegion *region, gsize offset, gpointer to, gsize size)
{
  Slot *slot = take_slot (self->child, 1);
  int errnum = 0;

  for (gsize done = 0; done < size && errnum == 0; done += SLOT_DATA)
    {
      gsize n = MIN (size - done, SLOT_DATA);

      errnum = ask (self->child, slot, OP_READ, region->start + offset + done, n, 0);
      if (errnum == 0)
        errnum = pv_copy_memory ((guint8 *) to + done, (guint64) (gsize) slot->data, n);
    }
  give_slot (slot);
  return errnum;
}

static void
fork_unguard (PvMemsnap *self, PvMemsnapRegion *region, gsize first, gsize n)
{
  Slot *slot;

  if (self->phase == PV_PHASE_LIVE)
    ask_as_owner (self, OP_RELEASE, region->start + first * PAGE, n * PAGE, 0, &slot);
}

/* Moves what the child holds alone into the spill file, page by page, until it holds half of the limit. */
static void
spill_pages (PvMemsnap *self, PvMemsnapRegion *region, gsize first, const guint64 *words, gsize n, gsize *held)
{
  Slot *slot;
  int errnum = 0;

  for (gsize i = 0; i < n && *held > self->limit / 2 && errnum == 0; i++)
    {
      gsize page = first + i;
      guint8 state = region->pages[page];

      if ((words[i] & PAGEMAP_EXCLUSIVE) == 0 || (state & PV_PAGE_PLACE) != PV_PAGE_SHARED)
        continue;
      errnum = ask_as_owner (self, OP_SPILL, region->start + page * PAGE, PAGE, (region->first + page) * PAGE, &slot);
      if (errnum != 0)
        break;
      __atomic_add_fetch (&self->stats.spilled_bytes, PAGE, __ATOMIC_RELAXED);
      self->n_modified += (state & PV_PAGE_MODIFIED) == 0;
      pv_page_store (region, page, state | PV_PAGE_SPILLED | PV_PAGE_MODIFIED);
      errnum = ask_as_owner (self, OP_RELEASE, region->start + page * PAGE, PAGE, 0, &slot);
      *held -= PAGE;
    }
  if (errnum != 0)
    pv_pages_fail (self, errnum, "the child that holds the memory could not write to the spill file");
}

static gboolean
is_exclusive (guint64 word)
{
  return (word & (PAGEMAP_PRESENT | PAGEMAP_EXCLUSIVE)) == (PAGEMAP_PRESENT | PAGEMAP_EXCLUSIVE);
}

/* Goes over what the child holds; with @spill it moves pages on the way. */
static gsize
walk_held (PvMemsnap *self, gboolean move, gsize held)
{
  gsize total = 0;

  for (guint i = 0; i < self->n_regions; i++)
    {
      PvMemsnapRegion *region = &self->regions[i];

      for (gsize first = 0; first < region->n_pages && self->phase == PV_PHASE_LIVE; first += SLOT_PAGES)
        {
          gsize n = MIN (region->n_pages - first, SLOT_PAGES);
          guint64 words[512];
          Slot *slot;

          if (ask_as_owner (self, OP_LOOK, region->start + first * PAGE, n * PAGE, 0, &slot) != 0)
            {
              pv_pages_fail (self, 0, "the child that holds the memory has ended");
              return 0;
            }
          for (gsize at = 0; at < n; at += G_N_ELEMENTS (words))
            {
              gsize some = MIN (n - at, G_N_ELEMENTS (words));

              memcpy (words, slot->data + at * 8, some * 8);
              for (gsize j = 0; j < some; j++)
                total += is_exclusive (words[j]) ? PAGE : 0;
              if (!move)
                continue;
              spill_pages (self, region, first + at, words, some, &held);
              /* The slot was used meanwhile. */
              if (ask_as_owner (self, OP_LOOK, region->start + first * PAGE, n * PAGE, 0, &slot) != 0)
                return total;
            }
        }
    }
  return total;
}

void
pv_fork_look (PvMemsnap *self)
{
  gsize held;

  if (self->phase != PV_PHASE_LIVE || self->limit == 0)
    return;
  held = walk_held (self, FALSE, 0);
  __atomic_store_n (&self->stats.held_bytes, held, __ATOMIC_RELAXED);
  __atomic_store_n (&self->stats.held_max_bytes, MAX (self->stats.held_max_bytes, held), __ATOMIC_RELAXED);
  if (self->phase != PV_PHASE_LIVE || held <= self->limit)
    return;
  if (self->overrun == PV_MEMSNAP_FAIL)
    {
      pv_pages_fail (self, 0, "more was written to than its limit has room for");
      syscall (SYS_pidfd_send_signal, self->child->pidfd, SIGKILL, NULL, 0);
    }
  else
    walk_held (self, TRUE, held);
}

static gint64
mark_modified (PvMemsnap *self, const guint64 *args)
{
  PvMemsnapRegion *region = (PvMemsnapRegion *) (gsize) args[0];
  guint64 words[512];

  for (gsize first = 0; first < region->n_pages; first += G_N_ELEMENTS (words))
    {
      gsize n = MIN (region->n_pages - first, G_N_ELEMENTS (words));

      if (pread ((int) args[1], words, n * 8, (off_t) ((region->start / PAGE + first) * 8)) != (ssize_t) (n * 8))
        return EIO;
      for (gsize i = 0; i < n; i++)
        {
          guint8 state = region->pages[first + i];

          /* A page of ours that the child does not share was written to by us: before, all were shared. */
          if (!is_exclusive (words[i]) || (words[i] & PAGEMAP_FILE) != 0
              || (state & PV_PAGE_PLACE) == PV_PAGE_RELEASED || (state & PV_PAGE_MODIFIED) != 0)
            continue;
          self->n_modified++;
          pv_page_store (region, first + i, state | PV_PAGE_MODIFIED);
        }
    }
  return 0;
}

static gboolean
fork_find_modified (PvMemsnap *self, PvMemsnapRegion *region, GError **error)
{
  g_auto(PvFd) pagemap = pv_openat (AT_FDCWD, "/proc/self/pagemap", O_RDONLY, 0, error);
  int errnum;

  if (pagemap < 0)
    return FALSE;
  errnum = (int) pv_memsnap_run (self, mark_modified, (guint64) (gsize) region, (guint64) pagemap, 0);
  return errnum == 0 || pv_throw_errno (error, errnum, "cannot read '/proc/self/pagemap'");
}

static gint64
make_child (PvMemsnap *self, const guint64 *args)
{
  gint64 start = g_get_monotonic_time ();
  pid_t parent = getpid ();
  int pidfd = PV_FD_NONE;
  long pid = syscall (SYS_clone, CLONE_PIDFD, NULL, &pidfd, NULL, NULL);

  if (pid == 0)
    child_main (self->child, self->spill_fd, parent);
  if (pid < 0)
    return errno;
  __atomic_store_n (&self->stats.pause_us, g_get_monotonic_time () - start, __ATOMIC_RELAXED);
  self->child->pid = (int) pid;
  self->child->pidfd = pidfd;
  __atomic_store_n (&self->phase, PV_PHASE_LIVE, __ATOMIC_RELEASE);
  if (!self->trapped)
    pv_service_add_view (self);
  return 0;
}

static gint64
add_trapped_view (PvMemsnap *self, const guint64 *args)
{
  pv_trap_add_view (self);
  return 0;
}

static gint64
remove_view (PvMemsnap *self, const guint64 *args)
{
  if (self->trapped)
    pv_trap_remove_view (self);
  else
    pv_service_remove_view (self);
  return 0;
}

static gboolean
fork_probe (PvMemsnap *self, GError **error)
{
  if (self->limit != 0 && self->overrun == PV_MEMSNAP_THROTTLE)
    return pv_throw (error, PV_ERROR_UNSUPPORTED, "fork cannot make writers wait: choose to spill or to fail");
  for (guint i = 0; i < self->n_regions; i++)
    {
      PvMemsnapRegion *region = &self->regions[i];
      g_autoptr(GArray) areas = pv_memory_map_read (getpid (), region->start, region->start + region->length, error);

      if (areas == NULL)
        return FALSE;
      for (guint j = 0; j < areas->len; j++)
        {
          const PvMemoryArea *area = &g_array_index (areas, PvMemoryArea, j);

          if (area->shared)
            return pv_throw (error, PV_ERROR_UNSUPPORTED, "the memory at 0x%" G_GINT64_MODIFIER "x is shared "
                             "(MAP_SHARED): after fork(2) both processes would still see each other's writes to it",
                             area->start);
          if (area->page_size != PAGE)
            return pv_throw (error, PV_ERROR_UNSUPPORTED, "the memory at 0x%" G_GINT64_MODIFIER "x has huge pages of a "
                             "pool: after fork(2) each write would need one more of them", area->start);
        }
    }
  return TRUE;
}

static gboolean
fork_take (PvMemsnap *self, GError **error)
{
  int errnum;

  if (!pv_service_start (error))
    return FALSE;
  if (!pv_service_open_view (TRUE, NULL))
    {
      if (!pv_trap_acquire (error))
        return FALSE;
      self->trapped = TRUE;
    }
  self->child = mmap (NULL, sizeof *self->child, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (self->child == MAP_FAILED)
    {
      self->child = NULL;
      return pv_throw_errno (error, ENOMEM, "cannot have memory to talk to the child");
    }
  self->child->pidfd = PV_FD_NONE;
  if (!pv_views_new (self, error))
    return FALSE;
  /* In the service thread: a child dies with the thread that made it. */
  errnum = (int) pv_service_call (make_child, self, (guint64[]){ 0, 0, 0 });
  if (errnum != 0)
    return pv_throw_errno (error, errnum, "cannot fork");
  if (self->trapped)
    pv_memsnap_run (self, add_trapped_view, 0, 0, 0);
  return TRUE;
}

static void
fork_drop (PvMemsnap *self)
{
  siginfo_t info;

  if (self->child != NULL)
    {
      pv_memsnap_run (self, remove_view, 0, 0, 0);
      if (self->child->pidfd >= 0)
        {
          syscall (SYS_pidfd_send_signal, self->child->pidfd, SIGKILL, NULL, 0);
          while (syscall (SYS_waitid, P_PIDFD, self->child->pidfd, &info, WEXITED | __WALL, NULL) < 0 && errno == EINTR)
            continue;
          pv_fd_clear (&self->child->pidfd);
        }
      pv_views_free (self);
      munmap (self->child, sizeof *self->child);
      self->child = NULL;
    }
  if (self->trapped)
    pv_trap_release ();
}

const PvMemsnapOps pv_memsnap_fork_ops = {
  .name = "fork",
  .engine = PV_MEMSNAP_ENGINE_FORK,
  .probe = fork_probe,
  .take = fork_take,
  .unguard = fork_unguard,
  .fetch = fork_fetch,
  .find_modified = fork_find_modified,
  .drop = fork_drop,
};
