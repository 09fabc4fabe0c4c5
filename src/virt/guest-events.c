/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* QEMU's own events, with QEMU's own times.
 *
 * libvirt takes a callback only once per connection and domain: all who listen to one guest over one connection share
 * an EventHub, and each counts from where the hub was when it came.
 */
#include "config.h"

#include <libvirt/libvirt-qemu.h>

#include "virt/guest-private.h"

typedef struct
{
  guint count;
  gint64 time_us; /* of the last one */
  char *data;     /* (owned) (nullable): of the last one */
} EventTally;

/* Shared with libvirt's callback, which may run until libvirt calls its free function. */
typedef struct
{
  GMutex lock;
  GCond changed;
  GHashTable *tallies; /* (owned) (element-type utf8 EventTally); under lock */
  guint n_listeners;   /* under hubs_lock */
  int callback;        /* libvirt's number */
} EventHub;

struct _PvGuestEvents
{
  PvGuest *guest;      /* (owned) */
  char *key;           /* (owned): of the hub */
  EventHub *hub;       /* (owned): one reference */
  GHashTable *earlier; /* (owned) (element-type utf8 guint): counts of the hub when we came */
};

static GMutex hubs_lock;
static GHashTable *hubs; /* (element-type utf8 EventHub); under hubs_lock */

static void
tally_free (gpointer data)
{
  EventTally *tally = data;

  g_free (tally->data);
  g_free (tally);
}

static void
hub_clear (gpointer data)
{
  EventHub *hub = data;

  g_hash_table_unref (hub->tallies);
  g_cond_clear (&hub->changed);
  g_mutex_clear (&hub->lock);
}

static void
hub_release (void *data)
{
  g_atomic_rc_box_release_full (data, hub_clear);
}

static void
on_event (virConnectPtr connection, virDomainPtr domain, const char *event, long long seconds, unsigned int micros,
          const char *details, void *data)
{
  EventHub *hub = data;
  g_autoptr(GMutexLocker) locker = g_mutex_locker_new (&hub->lock);
  EventTally *tally = g_hash_table_lookup (hub->tallies, event);

  if (tally == NULL)
    {
      tally = g_new0 (EventTally, 1);
      g_hash_table_insert (hub->tallies, g_strdup (event), tally);
    }
  tally->count++;
  tally->time_us = (gint64) seconds * G_USEC_PER_SEC + micros;
  g_free (tally->data);
  tally->data = g_strdup (details);
  g_cond_broadcast (&hub->changed);
}

/* A hub without listeners; NULL with @error when libvirt does not want to. */
static EventHub *
hub_new (PvGuest *guest, GError **error)
{
  EventHub *hub = g_atomic_rc_box_new0 (EventHub);

  g_mutex_init (&hub->lock);
  g_cond_init (&hub->changed);
  hub->tallies = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, tally_free);
  hub->callback =
      virConnectDomainQemuMonitorEventRegister (pv_connection_get (pv_guest_connection (guest)), pv_guest_get (guest),
                                                NULL, on_event, g_atomic_rc_box_acquire (hub), hub_release, 0);
  if (hub->callback >= 0)
    return hub;
  pv_guest_throw (guest, error, "cannot listen to QEMU's events");
  hub_release (hub); /* libvirt did not take its reference */
  hub_release (hub);
  return NULL;
}

/* Joins the hub of @key, or makes it. */
static EventHub *
hub_join (PvGuest *guest, const char *key, GError **error)
{
  g_autoptr(GMutexLocker) locker = g_mutex_locker_new (&hubs_lock);
  EventHub *hub;

  if (hubs == NULL)
    hubs = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  hub = g_hash_table_lookup (hubs, key);
  if (hub != NULL)
    g_atomic_rc_box_acquire (hub);
  else
    {
      hub = hub_new (guest, error);
      if (hub == NULL)
        return NULL;
      g_hash_table_insert (hubs, g_strdup (key), hub);
    }
  hub->n_listeners++;
  return hub;
}

static void
hub_leave (EventHub *hub, PvGuest *guest, const char *key)
{
  g_autoptr(GMutexLocker) locker = g_mutex_locker_new (&hubs_lock);

  if (--hub->n_listeners == 0)
    {
      g_hash_table_remove (hubs, key);
      virConnectDomainQemuMonitorEventDeregister (pv_connection_get (pv_guest_connection (guest)), hub->callback);
    }
  hub_release (hub);
}

PvGuestEvents *
pv_guest_events_new (PvGuest *self, GError **error)
{
  g_autofree char *key =
      g_strdup_printf ("%p %s", (void *) pv_connection_get (pv_guest_connection (self)), pv_guest_uuid (self));
  EventHub *hub = hub_join (self, key, error);
  PvGuestEvents *events;
  GHashTableIter iter;
  gpointer name, tally;

  if (hub == NULL)
    return NULL;
  events = g_new0 (PvGuestEvents, 1);
  events->guest = pv_guest_ref (self);
  events->key = g_steal_pointer (&key);
  events->hub = hub;
  events->earlier = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  g_mutex_lock (&hub->lock);
  g_hash_table_iter_init (&iter, hub->tallies);
  while (g_hash_table_iter_next (&iter, &name, &tally))
    g_hash_table_insert (events->earlier, g_strdup (name), GUINT_TO_POINTER (((EventTally *) tally)->count));
  g_mutex_unlock (&hub->lock);
  return events;
}

void
pv_guest_events_free (PvGuestEvents *self)
{
  if (self == NULL)
    return;
  hub_leave (self->hub, self->guest, self->key);
  g_hash_table_unref (self->earlier);
  g_free (self->key);
  pv_guest_unref (self->guest);
  g_free (self);
}

/* The tally of @name when there were more than @seen since we came. Call with the hub's lock. */
static EventTally *
tally_after (PvGuestEvents *self, const char *name, guint seen)
{
  EventTally *tally = g_hash_table_lookup (self->hub->tallies, name);
  guint earlier = GPOINTER_TO_UINT (g_hash_table_lookup (self->earlier, name));

  return tally != NULL && tally->count - earlier > seen ? tally : NULL;
}

gboolean
pv_guest_events_wait (PvGuestEvents *self, const char *name, guint seen, guint timeout_ms, gint64 *time_us)
{
  gint64 deadline = g_get_monotonic_time () + (gint64) timeout_ms * 1000;
  g_autoptr(GMutexLocker) locker = g_mutex_locker_new (&self->hub->lock);
  EventTally *tally;

  while ((tally = tally_after (self, name, seen)) == NULL)
    {
      gint64 now = g_get_monotonic_time ();

      /* no event comes over a connection that is lost: looked at every 100 ms */
      if (now >= deadline || !pv_connection_alive (pv_guest_connection (self->guest)))
        return FALSE;
      g_cond_wait_until (&self->hub->changed, &self->hub->lock, MIN (deadline, now + 100 * 1000));
    }
  if (time_us != NULL)
    *time_us = tally->time_us;
  return TRUE;
}

guint
pv_guest_events_count (PvGuestEvents *self, const char *name)
{
  g_autoptr(GMutexLocker) locker = g_mutex_locker_new (&self->hub->lock);
  EventTally *tally = g_hash_table_lookup (self->hub->tallies, name);

  return tally != NULL ? tally->count - GPOINTER_TO_UINT (g_hash_table_lookup (self->earlier, name)) : 0;
}

char *
pv_guest_events_data (PvGuestEvents *self, const char *name)
{
  g_autoptr(GMutexLocker) locker = g_mutex_locker_new (&self->hub->lock);
  EventTally *tally = tally_after (self, name, 0);

  return tally != NULL ? g_strdup (tally->data) : NULL;
}
