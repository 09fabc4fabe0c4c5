/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "memsnap/memsnap-trap.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <ucontext.h>

#include "util/error.h"

typedef struct
{
  int locked;
  PvGuard guard;
  PvMemsnap *first_view;
  PvTrapRange *first_range;
  gboolean crowded; /* the kernel has no more room for pieces of protected memory */
  guint generation; /* grows when something is taken off the lists; atomic */
} Trap;

static Trap *trap; /* private memory, never freed once made: a handler may still be in it */
static guint n_users;
static struct sigaction before;
static pthread_mutex_t users_lock = PTHREAD_MUTEX_INITIALIZER;

/* The generation at which this thread was last sent back to try a fault that is nobody's once more. */
static __thread guint tried __attribute__ ((tls_model ("initial-exec")));

static void
lock (void)
{
  while (__atomic_exchange_n (&trap->locked, 1, __ATOMIC_ACQUIRE) != 0)
    sched_yield ();
}

static void
unlock (void)
{
  __atomic_store_n (&trap->locked, 0, __ATOMIC_RELEASE);
}

void
pv_trap_lock (gpointer saved_mask)
{
  sigset_t all;

  sigfillset (&all);
  pthread_sigmask (SIG_SETMASK, &all, saved_mask);
  lock ();
}

void
pv_trap_unlock (gpointer saved_mask)
{
  unlock ();
  pthread_sigmask (SIG_SETMASK, saved_mask, NULL);
}

static PvMemsnapRegion *
guarded_region (guint64 address)
{
  for (PvMemsnap *self = trap->guard.first; self != NULL; self = self->next_guarded)
    {
      for (guint i = 0; i < self->n_regions; i++)
        {
          if (address - self->regions[i].start < self->regions[i].length)
            return &self->regions[i];
        }
    }
  return NULL;
}

static int
protect_region (guint64 start, guint64 length, gboolean on)
{
  PvMemsnapRegion *region = guarded_region (start);
  int errnum = 0;

  if (region != NULL
      && mprotect ((gpointer) (gsize) start, length, on ? region->protection & ~PROT_WRITE : region->protection) < 0)
    errnum = errno;
  if (!on && errnum == ENOMEM)
    trap->crowded = TRUE;
  return errnum;
}

/* Each lone unprotected page costs the kernel two more areas, of which it allows some 65,000. Then pages around are
 * copied as well and a larger piece is unprotected as a whole. */
static gboolean
write_crowded (const PvMemsnapRegion *region, guint64 address)
{
  guint64 end = region->start + region->length;

  for (gsize size = 64 * region->page_size;; size *= 8)
    {
      guint64 from = MAX (region->start, address - (address - region->start) % size);
      guint64 to = MIN (end, from + size);

      trap->crowded = FALSE;
      for (guint64 at = from; at < to; at += region->page_size)
        {
          if (!pv_guard_write (&trap->guard, at))
            return FALSE;
        }
      if (!trap->crowded || protect_region (from, to - from, FALSE) == 0 || (from == region->start && to == end))
        return TRUE;
    }
}

/* @again: the thread must wait and try later. */
static gboolean
take_write (guint64 address, gboolean *again)
{
  PvMemsnapRegion *region = guarded_region (address);

  for (PvTrapRange *range = trap->first_range; range != NULL; range = range->next)
    {
      if (address - range->start < range->length)
        {
          range->written (range, address);
          return TRUE;
        }
    }
  if (region == NULL || (region->protection & PROT_WRITE) == 0)
    return FALSE;
  trap->crowded = FALSE;
  *again = !pv_guard_write (&trap->guard, address);
  if (!*again && trap->crowded)
    *again = !write_crowded (region, address);
  return TRUE;
}

static gboolean
take_read (guint64 address)
{
  for (PvMemsnap *self = trap->first_view; self != NULL; self = self->next_view)
    {
      for (guint i = 0; i < self->n_regions; i++)
        {
          PvMemsnapRegion *region = &self->regions[i];

          if (address - region->view < region->length)
            {
              pv_pages_show (self, region, (address - region->view) / region->page_size);
              return TRUE;
            }
        }
    }
  return FALSE;
}

static gboolean
is_write (const ucontext_t *context)
{
#ifdef __x86_64__
  return (context->uc_mcontext.gregs[REG_ERR] & 2) != 0;
#else
#error "tell here how a fault says whether it was a store"
#endif
}

static void
hand_on (int signum, siginfo_t *info, gpointer context)
{
  sigset_t mask = ((ucontext_t *) context)->uc_sigmask;

  if ((before.sa_flags & SA_SIGINFO) == 0 && (before.sa_handler == SIG_DFL || before.sa_handler == SIG_IGN))
    {
      /* The instruction faults again, and this time it ends the process as it would have without us. */
      struct sigaction action = { .sa_handler = SIG_DFL };

      sigaction (signum, &action, NULL);
      return;
    }
  sigorset (&mask, &mask, &before.sa_mask);
  if ((before.sa_flags & SA_NODEFER) == 0)
    sigaddset (&mask, signum);
  pthread_sigmask (SIG_SETMASK, &mask, NULL);
  if ((before.sa_flags & SA_SIGINFO) != 0)
    before.sa_sigaction (signum, info, context);
  else
    before.sa_handler (signum);
}

static void
on_fault (int signum, siginfo_t *info, gpointer context)
{
  guint64 address = (guint64) (gsize) info->si_addr;
  gboolean again = TRUE, taken = FALSE;
  int saved = errno;
  guint now;

  while (again && info->si_code == SEGV_ACCERR)
    {
      struct timespec moment = { 0, 1000000 };

      again = FALSE;
      lock ();
      taken = is_write (context) ? take_write (address, &again) : take_read (address);
      unlock ();
      if (again)
        nanosleep (&moment, NULL);
    }
  errno = saved;
  if (taken)
    return;
  /* What was protected when the thread faulted may be free by now: then the second try succeeds. */
  now = __atomic_load_n (&trap->generation, __ATOMIC_ACQUIRE);
  if (tried != now)
    tried = now;
  else
    hand_on (signum, info, context);
}

gboolean
pv_trap_acquire (GError **error)
{
  gboolean ok = TRUE;

  pthread_mutex_lock (&users_lock);
  if (trap == NULL)
    {
      trap = pv_private_new (sizeof *trap, error);
      ok = trap != NULL;
      if (ok)
        trap->guard.protect = protect_region;
    }
  if (ok && n_users == 0)
    {
      struct sigaction action = { .sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART };

      sigfillset (&action.sa_mask);
      ok = sigaction (SIGSEGV, &action, &before) == 0 || pv_throw_errno (error, errno, "cannot catch SIGSEGV");
    }
  if (ok)
    n_users++;
  pthread_mutex_unlock (&users_lock);
  return ok;
}

/* Whether a thread has a SIGSEGV that it has not got to yet. */
static gboolean
is_pending (const char *task)
{
  g_autofree char *path = g_strdup_printf ("/proc/self/task/%s/status", task);
  g_autofree char *text = NULL;
  const char *line;

  if (!g_file_get_contents (path, &text, NULL, NULL))
    return FALSE;
  line = strstr (text, "\nSigPnd:");
  return line != NULL && (g_ascii_strtoull (line + 8, NULL, 16) & (1u << (SIGSEGV - 1))) != 0;
}

/* Threads that ran into protection which is gone by now must still find our handler. */
static void
let_pending_arrive (void)
{
  g_autoptr(GDir) tasks = g_dir_open ("/proc/self/task", 0, NULL);
  const char *task;

  while (tasks != NULL && (task = g_dir_read_name (tasks)) != NULL)
    {
      while (is_pending (task))
        sched_yield ();
    }
}

void
pv_trap_release (void)
{
  struct sigaction now;

  pthread_mutex_lock (&users_lock);
  n_users--;
  if (n_users == 0)
    let_pending_arrive ();
  if (n_users == 0 && sigaction (SIGSEGV, NULL, &now) == 0 && (now.sa_flags & SA_SIGINFO) != 0
      && now.sa_sigaction == on_fault)
    sigaction (SIGSEGV, &before, NULL);
  pthread_mutex_unlock (&users_lock);
}

gint64
pv_trap_call (PvOwnerFunc func, PvMemsnap *self, const guint64 *args)
{
  sigset_t mask;
  gint64 result;

  pv_trap_lock (&mask);
  result = func (self, args);
  pv_trap_unlock (&mask);
  return result;
}

void
pv_trap_add_view (PvMemsnap *self)
{
  self->next_view = trap->first_view;
  trap->first_view = self;
}

void
pv_trap_remove_view (PvMemsnap *self)
{
  for (PvMemsnap **at = &trap->first_view; *at != NULL; at = &(*at)->next_view)
    {
      if (*at == self)
        {
          *at = self->next_view;
          __atomic_add_fetch (&trap->generation, 1, __ATOMIC_RELEASE);
          break;
        }
    }
}

PvGuard *
pv_trap_guard (void)
{
  return &trap->guard;
}

void
pv_trap_add_range (PvTrapRange *range)
{
  range->next = trap->first_range;
  trap->first_range = range;
}

void
pv_trap_remove_range (PvTrapRange *range)
{
  for (PvTrapRange **at = &trap->first_range; *at != NULL; at = &(*at)->next)
    {
      if (*at == range)
        {
          *at = range->next;
          __atomic_add_fetch (&trap->generation, 1, __ATOMIC_RELEASE);
          break;
        }
    }
}
