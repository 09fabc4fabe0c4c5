/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "restore/pager.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

#include "restore/pager-discard.h"
#include "restore/pager-pull.h"
#include "restore/pager-warm.h"
#include "stream/stream-encoder.h"
#include "util/error.h"

enum
{
  PING_START = 1,
  PING_LOADED = 2,
  PING_FIRST = 16,               /* of those that go with pages */
  LOAD_TIMEOUT_MS = 120 * 1000,  /* QEMU loads devices, which may need pages of it first */
  SETTLE_TIMEOUT_MS = 120 * 1000,
  TICK_US = 200 * 1000,
  RETRY_US = 3 * 1000 * 1000,    /* between tries to read what is damaged */
  WAIT_MS = 200,
  BURST = 10,                    /* parts of a second of the rate that may go at once */
  AROUND = 64,                   /* pages before and behind a requested one that may lie in its frame */
};

#define PING_TAKEOVER 0x80000000u /* | number of the takeover */

struct _PvPager
{
  PvPagerSource *source;   /* (not owned) */
  PvPagerShared *shared;   /* (not owned) */
  PvPagerChannel *channel; /* (owned) */
  PvPagerHooks hooks;
  PvPagerPull *pull;       /* (owned) (nullable) */
  GArray *first;           /* (owned) (element-type guint64): pages around which it begins */
  PvPullPiece *piece;      /* (owned) (nullable): of which .. */
  guint piece_at;          /* .. pages before this one are dealt with */
  gboolean pulled;         /* all of the background is dealt with */
  guint64 rate;            /* bytes a second; 0: no limit */
  double allowance;        /* bytes that may go now */
  gint64 allowance_us, tick_us, retry_us; /* monotonic: when last looked at */
  GArray *damaged;         /* (owned) (element-type guint64): pages */
  char *damage;            /* (owned) (nullable): what was said last */
  gboolean away;           /* a remote gave no answer when it was asked last */
  GByteArray *out;         /* (owned): what is about to be sent */
  PvPagerWarm *warm;       /* (owned): reads what is going to be wanted */
  PvObject place;          /* (owned): of the page read last for a request; what else is in its frame goes too: */
  guint64 centre;          /* that page */
  guint around;            /* the pages of its surroundings that are dealt with: those behind it, then those before */
  gint64 asked_us;         /* when the oldest request was seen; 0: there is none */
};

PvPager *
pv_pager_new (PvPagerSource *source, PvPagerShared *shared, int fd, const PvPagerHooks *hooks)
{
  PvPager *self = g_new0 (PvPager, 1);

  self->source = source;
  self->shared = shared;
  self->channel = pv_pager_channel_new (fd, shared, source);
  self->hooks = hooks != NULL ? *hooks : (PvPagerHooks) { .watched = -1 };
  self->damaged = g_array_new (FALSE, FALSE, sizeof (guint64));
  self->out = g_byte_array_new ();
  self->first = g_array_new (FALSE, FALSE, sizeof (guint64));
  self->warm = pv_pager_warm_new (source);
  self->around = 2 * AROUND;
  self->allowance_us = g_get_monotonic_time ();
  if (shared->sequence < PING_FIRST)
    shared->sequence = PING_FIRST;
  return self;
}

void
pv_pager_free (PvPager *self)
{
  if (self == NULL)
    return;
  g_clear_pointer (&self->pull, pv_pager_pull_free);
  g_clear_pointer (&self->piece, pv_pull_piece_free);
  g_clear_pointer (&self->warm, pv_pager_warm_free);
  pv_object_clear (&self->place);
  pv_pager_channel_free (self->channel);
  g_array_unref (self->damaged);
  g_array_unref (self->first);
  g_byte_array_unref (self->out);
  g_free (self->damage);
  g_free (self);
}

void
pv_pager_set_rate (PvPager *self, guint64 rate)
{
  self->rate = rate;
}

void
pv_pager_set_watched (PvPager *self, int fd)
{
  self->hooks.watched = fd;
}

guint
pv_pager_n_damaged (const PvPager *self)
{
  return self->damaged->len;
}

guint64
pv_pager_n_zero (const PvPager *self)
{
  return self->pull != NULL ? pv_pager_pull_n_zero (self->pull) : 0;
}

/* --- damage ------------------------------------------------------------------------------------------------------ */

/* It has been asked many times already when this is told. */
static gboolean
is_away (const GError *why)
{
  return g_error_matches (why, PV_ERROR, PV_ERROR_UNREACHABLE);
}

/* The page is set aside, and never replaced by anything. */
static void
set_aside (PvPager *self, guint64 page, const GError *why)
{
  self->away |= is_away (why);
  for (guint i = 0; i < self->damaged->len; i++)
    if (g_array_index (self->damaged, guint64, i) == page)
      return;
  g_array_append_val (self->damaged, page);
  if (g_strcmp0 (self->damage, why->message) == 0)
    return;
  g_free (self->damage);
  self->damage = g_strdup (why->message);
  if (self->hooks.damaged != NULL)
    self->hooks.damaged (self, why, self->hooks.data);
}

/* What can be read now is asked for anew. A remote that gives no answer for one page is not asked for the next: each
 * time takes long, and other pages may be here. */
static void
retry_damaged (PvPager *self)
{
  g_auto(PvObject) place = { 0 };
  guint8 data[PV_POSTCOPY_PAGE];
  gboolean zero;

  if (self->damaged->len == 0 || g_get_monotonic_time () - self->retry_us < RETRY_US)
    return;
  self->away = FALSE;
  for (guint i = self->damaged->len; !self->away && i-- > 0;)
    {
      guint64 page = g_array_index (self->damaged, guint64, i);
      g_autoptr(GError) why = NULL;

      if (!pv_pager_source_read (self->source, page, &place, data, &zero, &why))
        self->away = is_away (why);
      else if (pv_pager_shared_request (self->shared, page))
        g_array_remove_index_fast (self->damaged, i);
    }
  self->retry_us = g_get_monotonic_time ();
  if (self->damaged->len == 0)
    g_clear_pointer (&self->damage, g_free);
}

/* --- pages ------------------------------------------------------------------------------------------------------- */

static void
append_page (PvPager *self, guint64 page, const guint8 *data, GByteArray *out)
{
  guint block;
  guint64 offset;

  pv_pager_source_locate (self->source, page, &block, &offset);
  pv_postcopy_append_page (pv_pager_source_head (self->source), block, offset, data, out);
}

static void
start_part (PvPager *self)
{
  g_byte_array_set_size (self->out, 0);
  pv_stream_append_part_start (pv_pager_source_head (self->source), self->out);
}

static gboolean
put_part (PvPager *self, const guint64 *pages, guint n, gboolean *went, GError **error)
{
  pv_stream_append_section_end (pv_pager_source_head (self->source), self->out);
  return pv_pager_channel_put (self->channel, self->out, PV_INTENT_PAGES, pages, n, went, error);
}

/* Answers the oldest request. @went: (out): FALSE: there is no room for it in the channel. */
static gboolean
serve_request (PvPager *self, guint64 page, gboolean *went, GError **error)
{
  guint8 data[PV_POSTCOPY_PAGE];
  g_autoptr(GError) why = NULL;
  gboolean zero = FALSE;

  *went = TRUE;
  if (!pv_pager_shared_is_sent (self->shared, page))
    {
      if (!pv_pager_source_read (self->source, page, &self->place, data, &zero, &why))
        set_aside (self, page, why);
      else
        {
          start_part (self);
          append_page (self, page, zero ? NULL : data, self->out);
          if (!put_part (self, &page, 1, went, error))
            return FALSE;
          if (*went && self->asked_us != 0)
            self->shared->demand_us += (guint64) (g_get_monotonic_time () - self->asked_us);
          if (*went && !zero)
            {
              self->centre = page;
              self->around = 0;
            }
        }
    }
  if (*went)
    pv_pager_shared_drop (self->shared);
  return TRUE;
}

/* --- background -------------------------------------------------------------------------------------------------- */

static gboolean
allowed (PvPager *self)
{
  gint64 now = g_get_monotonic_time ();
  double most = MAX ((double) self->rate / BURST, 2.0 * PV_PAGER_BATCH * PV_POSTCOPY_PAGE);

  if (self->rate == 0)
    return TRUE;
  self->allowance += (double) (now - self->allowance_us) / G_USEC_PER_SEC * (double) self->rate;
  self->allowance = MIN (self->allowance, most);
  self->allowance_us = now;
  return self->allowance >= PV_PAGER_BATCH * PV_POSTCOPY_PAGE;
}

/* A piece that could not be read as a whole: those of its pages that can be read are asked for. */
static void
read_apart (PvPager *self)
{
  g_auto(PvObject) place = { 0 };
  g_autoptr(GError) away = NULL; /* then all the others are not asked for now */
  guint8 data[PV_POSTCOPY_PAGE];

  for (guint i = 0; i < self->piece->n; i++)
    {
      guint64 page = self->piece->first + i;
      g_autoptr(GError) why = NULL;
      gboolean zero = FALSE;

      if (pv_pager_shared_is_sent (self->shared, page))
        continue;
      if (away != NULL)
        set_aside (self, page, away);
      else if (!pv_pager_source_read (self->source, page, &place, data, &zero, &why))
        {
          set_aside (self, page, why);
          if (is_away (why))
            away = g_steal_pointer (&why);
        }
      else if (!zero && !pv_pager_shared_request (self->shared, page))
        {
          g_autoptr(GError) later = g_error_new_literal (PV_ERROR, PV_ERROR_BUSY, "too many requests wait");

          set_aside (self, page, later);
        }
    }
  g_clear_pointer (&self->piece, pv_pull_piece_free);
}

/* FALSE: there is nothing now. */
static gboolean
next_piece (PvPager *self)
{
  if (self->piece != NULL)
    return TRUE;
  if (self->pulled || self->away)
    return FALSE;
  if (self->pull == NULL)
    self->pull = pv_pager_pull_new (self->source, self->shared, self->first);
  self->piece = pv_pager_pull_take (self->pull, &self->pulled);
  self->piece_at = 0;
  if (self->piece != NULL && self->piece->data == NULL)
    read_apart (self);
  return self->piece != NULL;
}

/* Sends a few pages of the frame that was read last for a request. @n: (out): how many; 0: there are none, or there is
 * no room. */
static gboolean
send_around (PvPager *self, guint *n, GError **error)
{
  guint64 pages[PV_PAGER_BATCH];
  guint8 data[PV_POSTCOPY_PAGE];
  gboolean went = TRUE;
  guint at;

  *n = 0;
  start_part (self);
  for (at = self->around; at < 2 * AROUND && *n < PV_PAGER_BATCH; at++)
    {
      guint64 page = self->centre + at - (at < AROUND ? 0 : 2 * AROUND); /* before page 0: no page */

      if (page < self->shared->n_pages && !pv_pager_shared_is_sent (self->shared, page)
          && pv_pager_source_read_near (self->source, page, &self->place, data))
        {
          append_page (self, page, data, self->out);
          pages[(*n)++] = page;
        }
    }
  if (*n > 0 && !put_part (self, pages, *n, &went, error))
    return FALSE;
  if (!went)
    *n = 0;
  else
    self->around = at;
  self->allowance -= (double) *n * PV_POSTCOPY_PAGE;
  return TRUE;
}

/* Sends a few pages that nobody asked for. @idle: (out): there is nothing to send, no room, or not the time. */
static gboolean
pull_some (PvPager *self, gboolean *idle, GError **error)
{
  guint64 pages[PV_PAGER_BATCH];
  gboolean went = TRUE;
  guint n = 0, at;

  *idle = TRUE;
  if (!allowed (self) || (self->around == 2 * AROUND && !next_piece (self))
      || !pv_pager_channel_clear (self->channel))
    return TRUE;
  if (self->around < 2 * AROUND && !send_around (self, &n, error))
    return FALSE;
  *idle = n == 0;
  if (n > 0 || !next_piece (self))
    return TRUE;
  start_part (self);
  for (at = self->piece_at; at < self->piece->n && n < PV_PAGER_BATCH; at++)
    {
      guint64 page = self->piece->first + at;

      if (pv_pager_shared_is_sent (self->shared, page))
        continue;
      append_page (self, page, self->piece->data + (gsize) at * PV_POSTCOPY_PAGE, self->out);
      pages[n++] = page;
    }
  if (n > 0 && !put_part (self, pages, n, &went, error))
    return FALSE;
  *idle = !went;
  if (!went)
    return TRUE;
  self->allowance -= (double) n * PV_POSTCOPY_PAGE;
  self->piece_at = at;
  if (at == self->piece->n)
    g_clear_pointer (&self->piece, pv_pull_piece_free);
  return TRUE;
}

static gboolean
send_end (PvPager *self, gboolean *idle, GError **error)
{
  gboolean went;

  g_byte_array_set_size (self->out, 0);
  pv_postcopy_append_end (pv_pager_source_head (self->source), self->out);
  if (!pv_pager_channel_put (self->channel, self->out, PV_INTENT_END, NULL, 0, &went, error))
    return FALSE;
  *idle = !went;
  return TRUE;
}

/* --- the loop ---------------------------------------------------------------------------------------------------- */

static void
tick (PvPager *self)
{
  gint64 now = g_get_monotonic_time ();

  if (now - self->tick_us < TICK_US)
    return;
  self->tick_us = now;
  if (self->hooks.tick != NULL)
    self->hooks.tick (self, self->hooks.data);
}

static void
wait (PvPager *self, gboolean for_room)
{
  const gboolean for_pieces = !for_room && !self->pulled && !self->away && self->piece == NULL && self->pull != NULL
                              && allowed (self);
  struct pollfd fds[] = {
    { .fd = pv_pager_channel_fd (self->channel), .events = POLLIN | (for_room ? POLLOUT : 0) },
    { .fd = self->hooks.watched, .events = POLLIN },
    { .fd = for_pieces ? pv_pager_pull_fd (self->pull) : -1, .events = POLLIN },
  };
  const int patience = self->rate != 0 && !self->pulled ? WAIT_MS / 20 : WAIT_MS;

  if (poll (fds, G_N_ELEMENTS (fds), patience) <= 0)
    return;
  if (fds[1].revents != 0 && self->hooks.noticed != NULL)
    self->hooks.noticed (self, self->hooks.data);
}

/* One thing that is to be done. @idle: (out): there is nothing to do but wait; @for_room: for room in the channel. */
static gboolean
work (PvPager *self, gboolean *idle, gboolean *for_room, GError **error)
{
  guint64 page;
  gboolean went = TRUE;

  *idle = *for_room = FALSE;
  if (pv_pager_shared_peek (self->shared, &page))
    {
      pv_pager_warm_requests (self->warm, self->shared);
      if (self->asked_us == 0)
        self->asked_us = g_get_monotonic_time ();
      if (!serve_request (self, page, &went, error))
        return FALSE;
      if (went)
        self->asked_us = 0;
      *idle = *for_room = !went;
      return TRUE;
    }
  if (g_atomic_int_get (&self->shared->phase) == PV_PAGER_ENDING)
    {
      *idle = TRUE;
      return TRUE;
    }
  if (self->pulled && self->piece == NULL && self->damaged->len == 0)
    {
      if (!send_end (self, idle, error))
        return FALSE;
      *for_room = *idle;
      return TRUE;
    }
  if (!pull_some (self, idle, error))
    return FALSE;
  *for_room = *idle && (self->piece != NULL || self->around < 2 * AROUND) && allowed (self);
  return TRUE;
}

/* (S2): what the pager before was about to send. FALSE with @error, or *@lost: the channel is of no use. */
static gboolean
settle (PvPager *self, gboolean *lost, GError **error)
{
  const PvPagerIntent intent = (PvPagerIntent) g_atomic_int_get (&self->shared->intent);
  const guint32 ping = PING_TAKEOVER | (guint32) self->shared->n_takeovers;
  const gint64 deadline = g_get_monotonic_time () + (gint64) SETTLE_TIMEOUT_MS * 1000;
  gboolean failed;

  *lost = intent == PV_INTENT_TORN;
  if (intent == PV_INTENT_NONE || intent == PV_INTENT_TORN)
    return TRUE;
  g_byte_array_set_size (self->out, 0);
  pv_postcopy_append_ping (ping, self->out);
  if (!pv_pager_channel_write (self->channel, self->out, NULL))
    {
      *lost = intent != PV_INTENT_END; /* behind the end it may be closed */
      pv_pager_shared_done (self->shared);
      return TRUE;
    }
  pv_pager_channel_expect (self->channel, ping, self->shared->sequence);
  while (!pv_pager_channel_seen_first (self->channel) && !pv_pager_channel_closed (self->channel)
         && !pv_pager_channel_shut (self->channel, &failed))
    {
      if (g_get_monotonic_time () > deadline)
        return pv_throw (error, PV_ERROR_FAILED, "QEMU does not answer");
      if (!pv_pager_channel_listen (self->channel, WAIT_MS, error))
        return FALSE;
    }
  if (pv_pager_channel_seen_second (self->channel)
      || (intent == PV_INTENT_END && !pv_pager_channel_seen_first (self->channel)))
    pv_pager_shared_done (self->shared);
  else
    pv_pager_shared_forget (self->shared);
  return TRUE;
}

gboolean
pv_pager_run (PvPager *self, PvPagerEnd *end, GError **error)
{
  gboolean idle = FALSE, for_room = FALSE, lost = FALSE, failed = FALSE;

  *end = PV_PAGER_LOST;
  if (!settle (self, &lost, error))
    return FALSE;
  while (!lost)
    {
      if (!pv_pager_channel_listen (self->channel, 0, error))
        return FALSE;
      if (pv_pager_channel_shut (self->channel, &failed))
        {
          *end = failed ? PV_PAGER_LOST : PV_PAGER_COMPLETE;
          return TRUE;
        }
      if (pv_pager_channel_closed (self->channel))
        return TRUE;
      retry_damaged (self);
      if (!work (self, &idle, &for_room, error))
        return FALSE;
      if (idle)
        wait (self, for_room);
      tick (self);
    }
  return TRUE;
}

/* --- start ------------------------------------------------------------------------------------------------------- */

static gboolean
send_ahead (PvPager *self, PvPagerAhead *ahead, GError **error)
{
  const GArray *pages = pv_pager_ahead_pages (ahead);

  if (!pv_pager_ahead_wait (ahead, error)
      || !pv_pager_channel_write (self->channel, pv_pager_ahead_bytes (ahead), error))
    return FALSE;
  for (guint i = 0; i < pages->len; i++)
    pv_pager_shared_set_sent (self->shared, g_array_index (pages, guint64, i));
  self->shared->n_ahead = pages->len;
  g_array_append_vals (self->first, pages->data, pages->len);
  return TRUE;
}

/* Serves requests until QEMU has loaded the devices. */
static gboolean
serve_loading (PvPager *self, GError **error)
{
  gint64 deadline = g_get_monotonic_time () + (gint64) LOAD_TIMEOUT_MS * 1000;
  gboolean failed;

  pv_pager_channel_expect (self->channel, PING_LOADED, PING_LOADED);
  while (!pv_pager_channel_seen_first (self->channel))
    {
      guint64 page;
      gboolean went = TRUE;

      while (pv_pager_shared_peek (self->shared, &page) && went)
        if (!serve_request (self, page, &went, error))
          return FALSE;
      if (!pv_pager_channel_listen (self->channel, went ? WAIT_MS : 1, error))
        return FALSE;
      if (pv_pager_channel_closed (self->channel) || pv_pager_channel_shut (self->channel, &failed))
        return pv_throw (error, PV_ERROR_FAILED, "QEMU could not load the device state: its log tells why");
      if (self->damaged->len > 0)
        return pv_throw (error, PV_ERROR_CORRUPT, "%s", self->damage);
      if (g_get_monotonic_time () > deadline)
        return pv_throw (error, PV_ERROR_FAILED, "QEMU does not get its device state loaded");
    }
  return TRUE;
}

gboolean
pv_pager_begin (PvPager *self, PvPagerAhead *ahead, GError **error)
{
  gsize size;
  const guint8 *devices = pv_pager_source_devices (self->source, &size);

  g_byte_array_set_size (self->out, 0);
  pv_postcopy_append_start (pv_pager_source_head (self->source), PING_START, self->out);
  if (!pv_pager_channel_write (self->channel, self->out, error) || !send_ahead (self, ahead, error))
    return FALSE;
  g_byte_array_set_size (self->out, 0);
  pv_pager_append_discards (self->source, self->shared, self->out);
  pv_postcopy_append_package (devices, size, PING_LOADED, self->out);
  return pv_pager_channel_write (self->channel, self->out, error) && serve_loading (self, error);
}

gboolean
pv_pager_recover (PvPager *self, GError **error)
{
  if (!pv_pager_channel_recover (self->channel, SETTLE_TIMEOUT_MS, error))
    return FALSE;
  g_atomic_int_set (&self->shared->phase, PV_PAGER_RUNNING);
  return TRUE;
}
