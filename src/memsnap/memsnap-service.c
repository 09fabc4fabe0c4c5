/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "memsnap/memsnap-service.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "memsnap/futex.h"
#include "memsnap/memsnap-fork.h"
#include "memsnap/memsnap-uffd.h"
#include "memsnap/userfault.h"
#include "util/error.h"

enum
{
  MESSAGES = 32,
  STACK_SIZE = 256 * 1024,
  LOOK_MS = 50, /* how often children that hold memory are looked at */
};

typedef struct
{
  int source_fd, view_fd, wake_fd;
  guint64 source_features;
  gboolean source_user_only, view_user_only;
  PvGuard guard;
  PvMemsnap *first_view;
  pthread_t thread;

  /* One call at a time. */
  int call_state; /* futex-like word: 0 none, 1 asked, 2 done */
  PvOwnerFunc func;
  PvMemsnap *func_self;
  guint64 args[3];
  gint64 result;
} Service;

static Service *service;        /* private memory; NULL until started, and in forked children */
static gboolean forgotten;      /* this is a forked child */
static pthread_mutex_t start_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_mutex_t call_lock = PTHREAD_MUTEX_INITIALIZER;

static int
protect_source (guint64 start, guint64 length, gboolean on)
{
  int errnum;

  do
    {
      errnum = pv_userfault_protect (service->source_fd, start, length, on);
      if (errnum == EAGAIN)
        pv_service_read_source (TRUE);
    }
  while (errnum == EAGAIN);
  return errnum;
}

int
pv_service_source_fd (void)
{
  return service->source_fd;
}

int
pv_service_view_fd (void)
{
  return service->view_fd;
}

guint64
pv_service_source_features (void)
{
  return service->source_features;
}

PvGuard *
pv_service_guard (void)
{
  return &service->guard;
}

void
pv_service_add_view (PvMemsnap *self)
{
  self->next_view = service->first_view;
  service->first_view = self;
}

void
pv_service_remove_view (PvMemsnap *self)
{
  for (PvMemsnap **at = &service->first_view; *at != NULL; at = &(*at)->next_view)
    {
      if (*at == self)
        {
          *at = self->next_view;
          break;
        }
    }
}

static void
source_message (const struct uffd_msg *message, gboolean defer)
{
  switch (message->event)
    {
    case UFFD_EVENT_PAGEFAULT:
      if (defer)
        pv_guard_defer (&service->guard, message->arg.pagefault.address);
      else
        pv_guard_write (&service->guard, message->arg.pagefault.address);
      break;
    case UFFD_EVENT_REMOVE:
      pv_guard_lost (&service->guard, message->arg.remove.start, message->arg.remove.end,
                     "the program discarded memory that was not copied yet");
      break;
    case UFFD_EVENT_UNMAP:
      pv_guard_lost (&service->guard, message->arg.remove.start, message->arg.remove.end,
                     "the program unmapped memory that was not copied yet");
      break;
    case UFFD_EVENT_REMAP:
      pv_guard_lost (&service->guard, message->arg.remap.from, message->arg.remap.from + message->arg.remap.len,
                     "the program moved memory that was not copied yet");
      break;
    default:
      break;
    }
}

void
pv_service_read_source (gboolean defer)
{
  struct uffd_msg messages[MESSAGES];
  ssize_t n = read (service->source_fd, messages, sizeof messages);

  for (ssize_t i = 0; i < n / (ssize_t) sizeof messages[0]; i++)
    source_message (&messages[i], defer);
}

static void
show_address (guint64 address)
{
  for (PvMemsnap *self = service->first_view; self != NULL; self = self->next_view)
    {
      for (guint i = 0; i < self->n_regions; i++)
        {
          PvMemsnapRegion *region = &self->regions[i];

          if (address - region->view < region->length)
            {
              pv_pages_show (self, region, (address - region->view) / region->page_size);
              return;
            }
        }
    }
}

static void
read_view (void)
{
  struct uffd_msg messages[MESSAGES];
  ssize_t n = read (service->view_fd, messages, sizeof messages);

  for (ssize_t i = 0; i < n / (ssize_t) sizeof messages[0]; i++)
    {
      if (messages[i].event == UFFD_EVENT_PAGEFAULT)
        show_address (messages[i].arg.pagefault.address);
    }
}

static void
answer_call (void)
{
  guint64 count;

  if (read (service->wake_fd, &count, sizeof count) < 0
      || __atomic_load_n (&service->call_state, __ATOMIC_ACQUIRE) != 1)
    return;
  service->result = service->func (service->func_self, service->args);
  __atomic_store_n (&service->call_state, 2, __ATOMIC_RELEASE);
  pv_futex_wake (&service->call_state);
}

/* All that has to be done beside answering: 0 when there is more, else milliseconds until the next look, -1 never. */
static int
work_along (void)
{
  int patience = -1;

  for (PvMemsnap *self = service->guard.first; self != NULL; self = self->next_guarded)
    {
      if (self->phase == PV_PHASE_PREPARING && pv_uffd_arm_some (self))
        patience = 0;
    }
  for (PvMemsnap *self = service->first_view; self != NULL; self = self->next_view)
    {
      if (self->child != NULL && self->limit != 0)
        {
          pv_fork_look (self);
          patience = patience == 0 ? 0 : LOOK_MS;
        }
    }
  return patience;
}

static void *
serve (void *unused)
{
  for (;;)
    {
      struct pollfd fds[] = { { .fd = service->wake_fd, .events = POLLIN },
                              { .fd = service->source_fd, .events = POLLIN },
                              { .fd = service->view_fd, .events = POLLIN } };

      if (poll (fds, G_N_ELEMENTS (fds), work_along ()) < 0)
        continue;
      if (fds[1].revents != 0)
        pv_service_read_source (FALSE);
      if (fds[2].revents != 0)
        read_view ();
      if (fds[0].revents != 0)
        answer_call ();
    }
  return NULL;
}

static void
forget (void)
{
  service = NULL;
  forgotten = TRUE;
}

static gboolean
start_thread (GError **error)
{
  sigset_t all, old;
  pthread_attr_t attributes;
  int errnum;

  pthread_attr_init (&attributes);
  pthread_attr_setdetachstate (&attributes, PTHREAD_CREATE_DETACHED);
  pthread_attr_setstacksize (&attributes, STACK_SIZE);
  sigfillset (&all);
  pthread_sigmask (SIG_SETMASK, &all, &old);
  errnum = pthread_create (&service->thread, &attributes, serve, NULL);
  pthread_sigmask (SIG_SETMASK, &old, NULL);
  pthread_attr_destroy (&attributes);
  return errnum == 0 || pv_throw_errno (error, errnum, "cannot start the thread that serves snapshots");
}

static gboolean
start (GError **error)
{
  if (service != NULL)
    return TRUE;
  if (forgotten)
    return pv_throw (error, PV_ERROR_UNSUPPORTED, "this process was forked from one with snapshots: it can have none "
                     "before execve");
  service = pv_private_new (sizeof *service, error);
  if (service == NULL)
    return FALSE;
  service->source_fd = service->view_fd = PV_FD_NONE;
  service->guard.protect = protect_source;
  service->wake_fd = eventfd (0, EFD_CLOEXEC | EFD_NONBLOCK);
  if ((service->wake_fd < 0 && !pv_throw_errno (error, errno, "cannot make an eventfd")) || !start_thread (error))
    {
      pv_fd_clear (&service->wake_fd);
      pv_private_free (service, sizeof *service);
      service = NULL;
      return FALSE;
    }
  pthread_atfork (NULL, NULL, forget);
  return TRUE;
}

gboolean
pv_service_start (GError **error)
{
  gboolean ok;

  pthread_mutex_lock (&start_lock);
  ok = start (error);
  pthread_mutex_unlock (&start_lock);
  return ok;
}

static gint64
set_source (PvMemsnap *self, const guint64 *args)
{
  service->source_fd = (int) args[0];
  service->source_features = args[1];
  service->source_user_only = args[2] != 0;
  return 0;
}

static gint64
set_view (PvMemsnap *self, const guint64 *args)
{
  service->view_fd = (int) args[0];
  service->view_user_only = args[1] != 0;
  return 0;
}

static gboolean
open_source (gboolean user_mode_only, GError **error)
{
  guint64 features = UFFD_FEATURE_PAGEFAULT_FLAG_WP | UFFD_FEATURE_EVENT_REMOVE | UFFD_FEATURE_EVENT_UNMAP
                     | UFFD_FEATURE_EVENT_REMAP
                     | (pv_userfault_features () & (PV_UFFD_WP_HUGETLBFS_SHMEM | PV_UFFD_WP_UNPOPULATED));
  int fd;

  if (service->source_fd >= 0)
    return user_mode_only || !service->source_user_only
           || pv_throw (error, PV_ERROR_BUSY, "snapshots of this process that do not see system calls must end first");
  fd = pv_userfault_open (features, user_mode_only, error);
  if (fd < 0)
    return FALSE;
  pv_service_call (set_source, NULL, (guint64[]){ (guint64) fd, features, user_mode_only });
  return TRUE;
}

gboolean
pv_service_open_source (gboolean user_mode_only, GError **error)
{
  gboolean ok;

  pthread_mutex_lock (&start_lock);
  ok = start (error) && open_source (user_mode_only, error);
  pthread_mutex_unlock (&start_lock);
  return ok;
}

static gboolean
open_view (gboolean may_be_user_only, GError **error)
{
  gboolean user_only = FALSE;
  int fd;

  if (service->view_fd >= 0)
    return may_be_user_only || !service->view_user_only
           || pv_throw (error, PV_ERROR_BUSY, "snapshots of this process that do not see system calls must end first");
  fd = pv_userfault_open (0, FALSE, may_be_user_only ? NULL : error);
  if (fd < 0 && may_be_user_only)
    {
      user_only = TRUE;
      fd = pv_userfault_open (0, TRUE, error);
    }
  if (fd < 0)
    return FALSE;
  pv_service_call (set_view, NULL, (guint64[]){ (guint64) fd, user_only, 0 });
  return TRUE;
}

gboolean
pv_service_open_view (gboolean may_be_user_only, GError **error)
{
  gboolean ok;

  pthread_mutex_lock (&start_lock);
  ok = start (error) && open_view (may_be_user_only, error);
  pthread_mutex_unlock (&start_lock);
  return ok;
}

gint64
pv_service_call (PvOwnerFunc func, PvMemsnap *self, const guint64 *args)
{
  gint64 result;
  guint64 one = 1;

  if (service == NULL)
    return 0;
  pthread_mutex_lock (&call_lock);
  service->func = func;
  service->func_self = self;
  for (guint i = 0; i < G_N_ELEMENTS (service->args); i++)
    service->args[i] = args[i];
  __atomic_store_n (&service->call_state, 1, __ATOMIC_RELEASE);
  while (write (service->wake_fd, &one, sizeof one) < 0 && errno == EINTR)
    continue;
  while (__atomic_load_n (&service->call_state, __ATOMIC_ACQUIRE) != 2)
    pv_futex_wait (&service->call_state, 1, 0);
  result = service->result;
  __atomic_store_n (&service->call_state, 0, __ATOMIC_RELEASE);
  pthread_mutex_unlock (&call_lock);
  return result;
}
