/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "daemon/hook-service.h"

#include <gio/gio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/named-socket.h"
#include "util/error.h"
#include "util/file.h"
#include "xml/hook-message.h"

#define THREADS 32                      /* questions answered at once; others wait */
#define PATIENCE_US (2 * G_USEC_PER_SEC) /* for a question to come in; and the hook waits no longer for its answer */

struct _PvHookService
{
  GSocketService *service; /* (owned) */
  char *path;              /* (owned) */
  PvFreshDisks *disks;     /* (not owned) */
  PvPoolService *pool;     /* (not owned) */
  guint at_work;           /* atomic: questions being answered */
};

/* --- answers ----------------------------------------------------------------------------------------------------- */

/* (transfer full): the text of the answer @verb. @made: files that were made for it. */
static char *
answer_restore (PvHookService *self, const char *xml, GPtrArray *made, PvHookVerb *verb)
{
  g_autoptr(GError) error = NULL;
  g_autofree char *changed = pv_fresh_disks_make (self->disks, xml, made, &error);

  *verb = PV_HOOK_XML;
  if (changed != NULL)
    return g_steal_pointer (&changed);
  *verb = PV_HOOK_SAME;
  if (error == NULL && pv_pool_service_check_restore (self->pool, xml, &error))
    return g_strdup ("");
  g_warning ("a restore is refused: %s", error->message);
  *verb = PV_HOOK_REFUSE;
  return g_strdup (error->message);
}

static void
restore (PvHookService *self, int fd, const char *xml, gint64 deadline)
{
  g_autoptr(GPtrArray) made = g_ptr_array_new_with_free_func (g_free);
  g_autoptr(GError) error = NULL;
  PvHookVerb verb;
  g_autofree char *text = answer_restore (self, xml, made, &verb);

  if (g_get_monotonic_time () > deadline)
    pv_throw (&error, PV_ERROR_BUSY, "it took too long");
  else if (pv_hook_message_send (fd, verb, text, deadline, &error) && verb != PV_HOOK_REFUSE)
    {
      pv_fresh_disks_sync (self->disks);
      return;
    }
  pv_fresh_disks_undo (self->disks, made);
  if (error != NULL)
    g_warning ("the hook could not be answered: %s", error->message);
}

/* @text: when, and who. */
static void
release (PvHookService *self, const char *text)
{
  char *name = NULL;
  gint64 time = g_ascii_strtoll (text, &name, 10);

  if (time > 0 && *name == ' ')
    pv_fresh_disks_forget (self->disks, name + 1, time);
  else
    g_warning ("on the hook's socket: nobody was released");
}

static void
say_alive (int fd, gint64 deadline)
{
  g_autoptr(GError) error = NULL;

  if (!pv_hook_message_send (fd, PV_HOOK_SAME, "", deadline, &error))
    g_debug ("%s", error->message);
}

/* On a thread of the service. */
static gboolean
on_question (GThreadedSocketService *service, GSocketConnection *connection, GObject *source, gpointer data)
{
  PvHookService *self = data;
  int fd = g_socket_get_fd (g_socket_connection_get_socket (connection));
  gint64 deadline = g_get_monotonic_time () + PATIENCE_US;
  g_autoptr(GError) error = NULL;
  g_autofree char *text = NULL;
  PvHookVerb verb = 0;

  g_atomic_int_inc (&self->at_work);
  text = pv_hook_message_receive (fd, &verb, deadline, &error);
  if (text == NULL)
    g_warning ("on the hook's socket: %s", error->message);
  else if (verb == PV_HOOK_RESTORE)
    restore (self, fd, text, deadline);
  else if (verb == PV_HOOK_RELEASE)
    release (self, text);
  else if (verb == PV_HOOK_ALIVE)
    say_alive (fd, deadline);
  else
    g_warning ("on the hook's socket: a question that nobody asks");
  g_atomic_int_dec_and_test (&self->at_work);
  return TRUE;
}

/* --- life -------------------------------------------------------------------------------------------------------- */

static gboolean
listen_at (PvHookService *self, GError **error)
{
  g_auto(PvFd) fd = pv_named_socket_listen (self->path, 0600, (gid_t) -1, error);
  g_autoptr(GSocket) socket = fd >= 0 ? g_socket_new_from_fd (fd, error) : NULL;

  if (socket == NULL)
    return FALSE;
  pv_fd_steal (&fd);
  return g_socket_listener_add_socket (G_SOCKET_LISTENER (self->service), socket, NULL, error);
}

PvHookService *
pv_hook_service_new (const char *socket_path, PvFreshDisks *disks, PvPoolService *pool, GError **error)
{
  g_autoptr(PvHookService) self = g_new0 (PvHookService, 1);

  self->path = g_strdup (socket_path);
  self->disks = disks;
  self->pool = pool;
  self->service = g_threaded_socket_service_new (THREADS);
  g_socket_listener_set_backlog (G_SOCKET_LISTENER (self->service), SOMAXCONN);
  g_signal_connect (self->service, "run", G_CALLBACK (on_question), self);
  if (!listen_at (self, error))
    {
      g_prefix_error (error, "the hook's socket '%s': ", socket_path);
      return NULL;
    }
  g_socket_service_start (self->service);
  return g_steal_pointer (&self);
}

void
pv_hook_service_free (PvHookService *self)
{
  if (g_socket_service_is_active (self->service))
    unlink (self->path);
  g_socket_service_stop (self->service);
  g_socket_listener_close (G_SOCKET_LISTENER (self->service));
  while (g_atomic_int_get (&self->at_work) > 0)
    g_usleep (1000);
  g_object_unref (self->service);
  g_free (self->path);
  g_free (self);
}
