/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "restore/pager-process.h"

#include <syslog.h>
#include <unistd.h>

#include "restore/pager.h"
#include "restore/pager-guest.h"
#include "restore/pager-keeper.h"
#include "restore/remote-secret.h"
#include "restore/working-set.h"
#include "store/read-ahead.h"
#include "util/error.h"
#include "util/fault.h"
#include "util/file.h"

enum
{
  LOOK_US = 100 * 1000,         /* between looks at a QEMU that does not say what it is at */
  CLEAR_TRIES = 50,
  BROKEN_US = 60 * 1000 * 1000, /* how long a broken channel may take to be noticed by QEMU */
};

struct _PvPagerProcess
{
  char *store_directory, *uuid; /* (owned) */
  PvLazyState *state;           /* (owned) */
  PvSnapshot *snapshot;         /* (owned) */
  PvStore *store;               /* (owned) */
  PvStorePin *pin;              /* (owned) (nullable) */
  PvPagerSource *source;        /* (owned) */
  PvPagerAhead *ahead;          /* (owned) (nullable): before the guest runs */
  PvPagerGuest *guest;          /* (owned) */
  PvPagerShared *shared;        /* (owned) (nullable) */
  PvPager *pager;               /* (owned) (nullable) */
  PvFd lock, channel, shared_fd, keeper;
  GThread *suspender;           /* (owned) (nullable): pauses a guest that wants what is damaged */
  PvLazyStatus status;
};

PvPagerProcess *
pv_pager_process_new (const char *store, const char *uuid, int lock, GError **error)
{
  g_autoptr(PvPagerProcess) self = g_new0 (PvPagerProcess, 1);

  self->lock = lock;
  self->channel = self->shared_fd = self->keeper = PV_FD_NONE;
  self->store_directory = g_strdup (store);
  self->uuid = g_strdup (uuid);
  self->state = pv_lazy_state_read (store, uuid, error);
  if (self->state != NULL)
    pv_remote_secret_install (self->state->uri);
  self->store = self->state != NULL ? pv_store_open (store, 0, error) : NULL;
  self->snapshot = self->store != NULL ? pv_lazy_state_snapshot (self->state, self->store, error) : NULL;
  self->source = self->snapshot != NULL ? pv_pager_source_new (self->store, self->snapshot, error) : NULL;
  if (self->source == NULL)
    return NULL;
  self->guest = pv_pager_guest_new (self->state);
  self->status.pid = getpid ();
  return g_steal_pointer (&self);
}

void
pv_pager_process_free (PvPagerProcess *self)
{
  if (self == NULL)
    return;
  if (self->suspender != NULL)
    g_thread_unref (self->suspender);
  g_clear_pointer (&self->pager, pv_pager_free);
  g_clear_pointer (&self->guest, pv_pager_guest_free);
  g_clear_pointer (&self->ahead, pv_pager_ahead_free);
  g_clear_pointer (&self->source, pv_pager_source_free);
  g_clear_pointer (&self->pin, pv_store_pin_free);
  g_clear_pointer (&self->store, pv_store_unref);
  g_clear_pointer (&self->snapshot, pv_snapshot_unref);
  g_clear_pointer (&self->state, pv_lazy_state_free);
  g_clear_pointer (&self->shared, pv_pager_shared_unmap);
  pv_lazy_status_clear (&self->status);
  pv_fd_clear (&self->channel);
  pv_fd_clear (&self->shared_fd);
  pv_fd_clear (&self->keeper);
  pv_fd_clear (&self->lock);
  g_free (self->store_directory);
  g_free (self->uuid);
  g_free (self);
}

guint64
pv_pager_process_pages_on_demand (const PvPagerProcess *self)
{
  return self->shared != NULL ? self->shared->n_requested : 0;
}

/* --- what others see --------------------------------------------------------------------------------------------- */

static void
write_status (PvPagerProcess *self)
{
  g_autoptr(GError) error = NULL;

  self->status.total_pages = self->shared->n_pages;
  self->status.sent_pages = self->shared->n_sent;
  self->status.zero_pages = self->pager != NULL ? pv_pager_n_zero (self->pager) : self->status.zero_pages;
  self->status.pages_on_demand = self->shared->n_requested;
  self->status.demand_us = self->shared->demand_us;
  self->status.takeovers = self->shared->n_takeovers;
  self->status.pages_ahead = self->shared->n_ahead;
  if (!pv_lazy_state_write_status (self->state, &self->status, &error))
    g_debug ("%s", error->message);
}

static void
set_phase (PvPagerProcess *self, PvLazyPhase phase, const char *message)
{
  self->status.phase = phase;
  g_free (self->status.message);
  self->status.message = g_strdup (message);
  write_status (self);
}

static void
on_tick (PvPager *pager, gpointer data)
{
  PvPagerProcess *self = data;

  if (pv_lazy_state_hurried (self->state))
    pv_pager_set_rate (pager, 0);
  if ((self->status.phase == PV_LAZY_DAMAGED || self->status.phase == PV_LAZY_WAITING)
      && pv_pager_n_damaged (pager) == 0)
    {
      syslog (LOG_NOTICE, "guest %s: all of %s can be read again%s", self->state->domain, self->state->snapshot,
              self->status.phase == PV_LAZY_DAMAGED ? "; 'virsh resume' lets the guest go on" : "");
      set_phase (self, PV_LAZY_RUNNING, NULL);
    }
  else
    write_status (self);
}

/* In a thread of its own: a QEMU of which a thread waits for the page stops only when it comes. */
static gpointer
suspend (gpointer data)
{
  PvPagerProcess *self = data;
  g_autoptr(PvPagerGuest) guest = pv_pager_guest_new (self->state);
  g_autoptr(GError) error = NULL;

  if (!pv_pager_guest_suspend (guest, &error))
    syslog (LOG_WARNING, "%s", error->message);
  return NULL;
}

/* The guest is not paused: what it does not have it waits for by itself, and goes on by itself. */
static void
on_away (PvPagerProcess *self, const GError *why)
{
  g_autofree char *text
    = g_strdup_printf ("memory of snapshot %s does not come now: %s; the guest waits for what it needs and goes on "
                       "when that comes", self->state->snapshot, why->message);

  if (self->status.phase == PV_LAZY_WAITING || self->status.phase == PV_LAZY_DAMAGED)
    return;
  syslog (LOG_WARNING, "guest %s: %s", self->state->domain, text);
  set_phase (self, PV_LAZY_WAITING, text);
}

static void
on_damaged (PvPager *pager, const GError *why, gpointer data)
{
  PvPagerProcess *self = data;
  g_autofree char *text = NULL;

  if (g_error_matches (why, PV_ERROR, PV_ERROR_UNREACHABLE))
    {
      on_away (self, why);
      return;
    }
  text = g_strdup_printf ("memory of snapshot %s cannot be read: %s; the guest is paused until it can ('pagevault "
                          "verify' tells what is damaged)", self->state->snapshot, why->message);
  syslog (LOG_ERR, "guest %s: %s", self->state->domain, text);
  set_phase (self, PV_LAZY_DAMAGED, text);
  if (self->suspender == NULL)
    self->suspender = g_thread_new ("pager-suspend", suspend, self);
}

static void
start_keeper (PvPagerProcess *self)
{
  const PvPagerPair pair = { self->store_directory, self->uuid, self->channel, self->shared_fd, self->lock };
  g_autoptr(GError) error = NULL;

  pv_fd_clear (&self->keeper);
  self->keeper = pv_pager_pair_start (&pair, "keep", &error);
  if (self->keeper < 0)
    syslog (LOG_WARNING, "guest %s: nobody stands behind its pager: %s", self->state->domain, error->message);
  if (self->pager != NULL)
    pv_pager_set_watched (self->pager, self->keeper);
}

/* The keeper never says anything: it is gone. */
static void
on_noticed (PvPager *pager, gpointer data)
{
  start_keeper (data);
}

static void
make_pager (PvPagerProcess *self)
{
  const PvPagerHooks hooks = { on_tick, on_damaged, on_noticed, self->keeper, self };

  g_clear_pointer (&self->pager, pv_pager_free);
  self->pager = pv_pager_new (self->source, self->shared, self->channel, &hooks);
  pv_pager_set_rate (self->pager, self->state->rate);
}

static gboolean
map_shared (PvPagerProcess *self, GError **error)
{
  if (self->shared == NULL)
    self->shared = pv_pager_shared_map (&self->shared_fd, pv_pager_source_n_pages (self->source), error);
  return self->shared != NULL;
}

/* The snapshot stays readable, also when it is deleted. */
static void
pin (PvPagerProcess *self)
{
  g_autoptr(GError) error = NULL;

  self->pin = pv_store_pin (self->store, self->snapshot, &error);
  if (self->pin == NULL)
    syslog (LOG_WARNING, "guest %s: %s: its memory may go with the next gc", self->state->domain, error->message);
}

/* --- start ------------------------------------------------------------------------------------------------------- */

/* What @pages take of remotes is fetched by many requests at once, and not one after the other when they are sent. */
static void
read_ahead (PvPagerProcess *self, GArray *pages)
{
  g_autoptr(GArray) names = g_array_new (FALSE, FALSE, sizeof (PvName));

  for (guint i = 0; pv_store_mirrors (self->store)->len > 0 && i < MIN (pages->len, PV_PAGER_AHEAD_MAX); i++)
    {
      guint64 offset;
      guint block;
      PvName name;

      pv_pager_source_locate (self->source, g_array_index (pages, guint64, i), &block, &offset);
      if (pv_volume_reader_names (pv_pager_source_reader (self->source, block), offset / PV_CHUNK_SIZE, 1, &name, NULL)
          && !pv_name_is_zero (&name))
        g_array_append_val (names, name);
    }
  pv_store_read_ahead (self->store, (const PvName *) (gpointer) names->data, names->len);
}

/* While libvirt starts the guest. */
static void
begin_ahead (PvPagerProcess *self)
{
  g_autoptr(GArray) pages = pv_working_set_read (self->store_directory, self->snapshot,
                                                 pv_pager_source_n_pages (self->source));

  read_ahead (self, pages);
  self->ahead = pv_pager_ahead_new (self->source, pages);
}

gboolean
pv_pager_process_prepare (PvPagerProcess *self, GError **error)
{
  self->pin = pv_store_pin (self->store, self->snapshot, error);
  if (self->pin == NULL || !map_shared (self, error) || !pv_pager_guest_connect (self->guest, error))
    return FALSE;
  begin_ahead (self);
  return TRUE;
}

static gboolean
start (PvPagerProcess *self, GError **error)
{
  if (!pv_fault ("pager.start", error))
    return FALSE;
  self->channel = pv_pager_guest_incoming (self->guest, error);
  if (self->channel < 0)
    return FALSE;
  make_pager (self);
  if (!pv_pager_begin (self->pager, self->ahead, error) || !pv_fault ("pager.loaded", error))
    return FALSE;
  g_clear_pointer (&self->ahead, pv_pager_ahead_free);
  g_atomic_int_set (&self->shared->phase, PV_PAGER_RUNNING);
  set_phase (self, PV_LAZY_RUNNING, NULL);
  start_keeper (self);
  return TRUE;
}

/* Only a guest that waits for its first page is ours to end. */
static void
destroy_waiting (PvPagerProcess *self)
{
  g_autoptr(GError) error = NULL;
  PvIncoming incoming = PV_INCOMING_GONE;

  if (!pv_pager_guest_incoming_state (self->guest, &incoming, &error)
      || (incoming == PV_INCOMING_WAITING && !pv_pager_guest_destroy (self->guest, &error)))
    syslog (LOG_ERR, "guest %s: %s", self->state->domain, error->message);
}

void
pv_pager_process_give_up (PvPagerProcess *self, gboolean destroy)
{
  g_autoptr(GError) error = NULL;

  if (self->shared != NULL)
    g_atomic_int_set (&self->shared->phase, PV_PAGER_OVER);
  if (destroy)
    destroy_waiting (self);
  if (!pv_lazy_state_remove (self->state, &error))
    syslog (LOG_ERR, "guest %s: %s", self->state->domain, error->message);
}

gboolean
pv_pager_process_start (PvPagerProcess *self, GError **error)
{
  g_autoptr(GError) local = NULL;

  if (start (self, error))
    return TRUE;
  if (!pv_pager_guest_destroy (self->guest, &local))
    syslog (LOG_ERR, "guest %s: %s", self->state->domain, local->message);
  pv_pager_process_give_up (self, FALSE);
  return FALSE;
}

gboolean
pv_pager_process_again (PvPagerProcess *self, int channel, int shared, int keeper, GError **error)
{
  self->channel = channel;
  self->shared_fd = shared;
  self->keeper = keeper;
  if (!map_shared (self, error))
    return FALSE;
  self->shared->n_takeovers++;
  pin (self);
  make_pager (self);
  set_phase (self, PV_LAZY_RUNNING, NULL);
  return TRUE;
}

/* --- a broken channel -------------------------------------------------------------------------------------------- */

/* What QEMU says, however long libvirtd may be away. */
static PvIncoming
look (PvPagerProcess *self)
{
  PvIncoming incoming = PV_INCOMING_GONE;

  for (guint i = 0;; i++)
    {
      g_autoptr(GError) error = NULL;

      if (pv_pager_guest_incoming_state (self->guest, &incoming, &error))
        return incoming;
      if (i == 0)
        syslog (LOG_WARNING, "guest %s: %s: trying again", self->state->domain, error->message);
      g_usleep (10 * LOOK_US);
    }
}

/* Waits until QEMU knows whether its channel broke or it is complete. */
static PvIncoming
wait_for_word (PvPagerProcess *self)
{
  gint64 deadline = g_get_monotonic_time () + BROKEN_US;
  PvIncoming incoming;

  while ((incoming = look (self)) == PV_INCOMING_ACTIVE && g_get_monotonic_time () < deadline)
    g_usleep (LOOK_US);
  return incoming;
}

static gboolean
reconnect (PvPagerProcess *self, GError **error)
{
  g_clear_pointer (&self->pager, pv_pager_free);
  pv_fd_clear (&self->channel);
  self->channel = pv_pager_guest_recover (self->guest, error);
  if (self->channel < 0)
    return FALSE;
  make_pager (self);
  if (!pv_pager_recover (self->pager, error))
    return FALSE;
  self->shared->n_takeovers++;
  start_keeper (self);
  set_phase (self, PV_LAZY_RUNNING, NULL);
  syslog (LOG_NOTICE, "guest %s: its memory comes again over a new channel", self->state->domain);
  return TRUE;
}

/* The keeper that is there holds the channel that broke. */
static void
leave_keeper (PvPagerProcess *self)
{
  int channel = self->channel;

  self->channel = PV_FD_NONE;
  pv_fd_clear (&channel);
}

/* Mends the channel. *@over: there is nothing to mend. */
static gboolean
mend (PvPagerProcess *self, gboolean *over, GError **error)
{
  PvIncoming incoming;

  set_phase (self, PV_LAZY_RECOVERING, NULL);
  leave_keeper (self);
  incoming = wait_for_word (self);
  *over = incoming == PV_INCOMING_GONE || incoming == PV_INCOMING_COMPLETE;
  if (*over)
    return TRUE;
  if (incoming == PV_INCOMING_WAITING)
    {
      syslog (LOG_ERR, "guest %s: it was given up before it ran", self->state->domain);
      *over = TRUE;
      return pv_pager_guest_destroy (self->guest, error);
    }
  if (incoming == PV_INCOMING_ACTIVE)
    return pv_throw (error, PV_ERROR_FAILED, "QEMU does not notice that its channel is closed");
  return reconnect (self, error);
}

/* --- the end ----------------------------------------------------------------------------------------------------- */

static void
keep_working_set (PvPagerProcess *self)
{
  g_autoptr(GError) error = NULL;

  if (!pv_working_set_add (self->store_directory, self->snapshot, self->shared->recorded, self->shared->n_recorded,
                           self->shared->n_pages, &error))
    syslog (LOG_WARNING, "snapshot %s: the working set cannot be kept: %s", self->state->snapshot, error->message);
}

static void
finish (PvPagerProcess *self)
{
  g_autoptr(GError) error = NULL;

  /* it may be that libvirtd is away; look() waits for it */
  for (guint i = 0; i < CLEAR_TRIES && look (self) != PV_INCOMING_GONE; i++)
    {
      g_clear_error (&error);
      if (pv_pager_guest_complete (self->guest, &error))
        break;
      g_usleep (LOOK_US);
    }
  if (error != NULL)
    syslog (LOG_WARNING, "%s", error->message);
  g_clear_error (&error);
  keep_working_set (self);
  g_atomic_int_set (&self->shared->phase, PV_PAGER_OVER);
  if (!pv_lazy_state_remove (self->state, &error))
    syslog (LOG_WARNING, "guest %s: %s", self->state->domain, error->message);
}

gboolean
pv_pager_process_recover (PvPagerProcess *self, GError **error)
{
  gboolean over = FALSE;

  if (!map_shared (self, error))
    return FALSE;
  g_atomic_int_set (&self->shared->phase, PV_PAGER_RUNNING);
  pin (self);
  if (!mend (self, &over, error))
    return FALSE;
  if (over)
    finish (self);
  return TRUE;
}

gboolean
pv_pager_process_serve (PvPagerProcess *self, GError **error)
{
  gboolean over = FALSE;

  if (g_atomic_int_get (&self->shared->phase) == PV_PAGER_OVER)
    return TRUE;
  while (!over)
    {
      PvPagerEnd end = PV_PAGER_LOST;
      g_autoptr(GError) local = NULL;

      if (!pv_pager_run (self->pager, &end, &local))
        syslog (LOG_ERR, "guest %s: %s: ending this channel", self->state->domain, local->message);
      over = end == PV_PAGER_COMPLETE;
      if (!over && !mend (self, &over, error))
        return FALSE;
    }
  finish (self);
  return TRUE;
}
