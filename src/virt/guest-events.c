/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* QEMU's own events, with QEMU's own times. */
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
} EventState;

struct _PvGuestEvents
{
  PvGuest *guest;    /* (owned) */
  EventState *state; /* (owned): one reference */
  int callback;
};

static void
tally_free (gpointer data)
{
  EventTally *tally = data;

  g_free (tally->data);
  g_free (tally);
}

static void
state_clear (gpointer data)
{
  EventState *state = data;

  g_hash_table_unref (state->tallies);
  g_cond_clear (&state->changed);
  g_mutex_clear (&state->lock);
}

static void
state_release (void *data)
{
  g_atomic_rc_box_release_full (data, state_clear);
}

static void
on_event (virConnectPtr connection, virDomainPtr domain, const char *event, long long seconds, unsigned int micros,
          const char *details, void *data)
{
  EventState *state = data;
  g_autoptr(GMutexLocker) locker = g_mutex_locker_new (&state->lock);
  EventTally *tally = g_hash_table_lookup (state->tallies, event);

  if (tally == NULL)
    {
      tally = g_new0 (EventTally, 1);
      g_hash_table_insert (state->tallies, g_strdup (event), tally);
    }
  tally->count++;
  tally->time_us = (gint64) seconds * G_USEC_PER_SEC + micros;
  g_free (tally->data);
  tally->data = g_strdup (details);
  g_cond_broadcast (&state->changed);
}

PvGuestEvents *
pv_guest_events_new (PvGuest *self, GError **error)
{
  EventState *state = g_atomic_rc_box_new0 (EventState);
  PvGuestEvents *events;
  int callback;

  g_mutex_init (&state->lock);
  g_cond_init (&state->changed);
  state->tallies = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, tally_free);
  callback = virConnectDomainQemuMonitorEventRegister (pv_connection_get (pv_guest_connection (self)), pv_guest_get (self), NULL,
                                                       on_event, g_atomic_rc_box_acquire (state), state_release, 0);
  if (callback < 0)
    {
      pv_guest_throw (self, error, "cannot listen to QEMU's events");
      state_release (state); /* libvirt did not take its reference */
      state_release (state);
      return NULL;
    }
  events = g_new0 (PvGuestEvents, 1);
  events->guest = pv_guest_ref (self);
  events->state = state;
  events->callback = callback;
  return events;
}

void
pv_guest_events_free (PvGuestEvents *self)
{
  if (self == NULL)
    return;
  virConnectDomainQemuMonitorEventDeregister (pv_connection_get (pv_guest_connection (self->guest)), self->callback);
  state_release (self->state);
  pv_guest_unref (self->guest);
  g_free (self);
}

static EventTally *
tally_after (EventState *state, const char *name, guint seen)
{
  EventTally *tally = g_hash_table_lookup (state->tallies, name);

  return tally != NULL && tally->count > seen ? tally : NULL;
}

gboolean
pv_guest_events_wait (PvGuestEvents *self, const char *name, guint seen, guint timeout_ms, gint64 *time_us)
{
  EventState *state = self->state;
  gint64 deadline = g_get_monotonic_time () + (gint64) timeout_ms * 1000;
  g_autoptr(GMutexLocker) locker = g_mutex_locker_new (&state->lock);
  EventTally *tally;

  while ((tally = tally_after (state, name, seen)) == NULL)
    {
      gint64 now = g_get_monotonic_time ();

      /* no event comes over a connection that is lost: looked at every 100 ms */
      if (now >= deadline || !pv_connection_alive (pv_guest_connection (self->guest)))
        return FALSE;
      g_cond_wait_until (&state->changed, &state->lock, MIN (deadline, now + 100 * 1000));
    }
  if (time_us != NULL)
    *time_us = tally->time_us;
  return TRUE;
}

guint
pv_guest_events_count (PvGuestEvents *self, const char *name)
{
  g_autoptr(GMutexLocker) locker = g_mutex_locker_new (&self->state->lock);
  EventTally *tally = g_hash_table_lookup (self->state->tallies, name);

  return tally != NULL ? tally->count : 0;
}

char *
pv_guest_events_data (PvGuestEvents *self, const char *name)
{
  g_autoptr(GMutexLocker) locker = g_mutex_locker_new (&self->state->lock);
  EventTally *tally = g_hash_table_lookup (self->state->tallies, name);

  return tally != NULL ? g_strdup (tally->data) : NULL;
}
