/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "daemon/libvirt-link.h"

#define FIRST_US (10 * G_USEC_PER_SEC)
#define STEP_US (G_USEC_PER_SEC / 2) /* between two looks */

struct _PvLibvirtLink
{
  PvLibvirtLinkFunc connected;
  gpointer data;            /* (not owned): for connected */
  GMutex lock;
  GCond cond;
  PvConnection *connection; /* (owned) (nullable); under lock */
  gboolean tried;           /* under lock */
  gboolean over;            /* likewise */
  GThread *thread;          /* (owned) */
};

/* Under lock, which is let go of while libvirt is spoken to. (transfer full) (nullable): a new connection. */
static PvConnection *
look (PvLibvirtLink *self, gboolean *told)
{
  g_autoptr(GError) error = NULL;
  PvConnection *connection;

  if (self->connection != NULL && pv_connection_alive (self->connection))
    return NULL;
  g_clear_pointer (&self->connection, pv_connection_unref);
  g_mutex_unlock (&self->lock);
  connection = pv_connection_open (NULL, &error);
  g_mutex_lock (&self->lock);
  self->connection = connection;
  if (connection == NULL && !*told)
    g_message ("libvirt is not there: guests that are saved meanwhile are kept without their disks: %s",
               error->message);
  if (connection != NULL && self->tried)
    g_message ("connected to libvirt");
  *told = connection == NULL;
  return connection != NULL ? pv_connection_ref (connection) : NULL;
}

static gpointer
keep (gpointer data)
{
  PvLibvirtLink *self = data;
  gboolean told = FALSE;

  g_mutex_lock (&self->lock);
  while (!self->over)
    {
      g_autoptr(PvConnection) connection = look (self, &told);

      self->tried = TRUE;
      g_cond_broadcast (&self->cond);
      g_mutex_unlock (&self->lock);
      if (connection != NULL)
        self->connected (connection, self->data);
      g_mutex_lock (&self->lock);
      if (!self->over)
        g_cond_wait_until (&self->cond, &self->lock, g_get_monotonic_time () + STEP_US);
    }
  g_mutex_unlock (&self->lock);
  return NULL;
}

PvLibvirtLink *
pv_libvirt_link_new (PvLibvirtLinkFunc connected, gpointer data)
{
  PvLibvirtLink *self = g_new0 (PvLibvirtLink, 1);

  self->connected = connected;
  self->data = data;
  g_mutex_init (&self->lock);
  g_cond_init (&self->cond);
  return self;
}

void
pv_libvirt_link_start (PvLibvirtLink *self)
{
  self->thread = g_thread_new ("libvirt-link", keep, self);
}

void
pv_libvirt_link_wait (PvLibvirtLink *self)
{
  gint64 deadline = g_get_monotonic_time () + FIRST_US;
  g_autoptr(GMutexLocker) locker = g_mutex_locker_new (&self->lock);

  while (!self->tried && g_cond_wait_until (&self->cond, &self->lock, deadline))
    ;
}

void
pv_libvirt_link_free (PvLibvirtLink *self)
{
  g_mutex_lock (&self->lock);
  self->over = TRUE;
  g_cond_broadcast (&self->cond);
  g_mutex_unlock (&self->lock);
  if (self->thread != NULL)
    g_thread_join (self->thread);
  g_clear_pointer (&self->connection, pv_connection_unref);
  g_mutex_clear (&self->lock);
  g_cond_clear (&self->cond);
  g_free (self);
}

PvConnection *
pv_libvirt_link_get (PvLibvirtLink *self)
{
  g_autoptr(GMutexLocker) locker = g_mutex_locker_new (&self->lock);

  return self->connection != NULL ? pv_connection_ref (self->connection) : NULL;
}
