/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The direct engine: pagevault reads QEMU's memory itself, while the guest runs.
 *
 * prepare   find the memory (ram-map.h), watch it (ram-watch.h), read all of it; then, round by round, what was written
 *           meanwhile, until that is little
 * freeze    pause; if more was written since than the pause allows, run on for another round
 * arm       the disks are frozen: device state into a memory file of ours, a last scan, copy the last pages; resume
 * settle    these pages into the store; nothing is watched any more
 *
 * Each round pauses the guest for its scan, a millisecond or two: ram-watch.h tells why. The instant is the last pause.
 * QEMU knows nothing of all this: no capability, no migration. When this process dies its userfaultfd goes with it, and
 * with that all watching; what remains to be put back is the run state and the memory file's descriptor.
 *
 * While the guest is paused a thread beats for the guardian, as the drain does for other engines.
 */
#include "config.h"

#include "capture/engine.h"

#include "capture/direct-devices.h"
#include "capture/direct-process.h"
#include "capture/direct-stream.h"
#include "capture/ram-map.h"
#include "capture/ram-watch.h"
#include "capture/tracking-check.h"
#include "util/error.h"
#include "util/fault.h"

enum
{
  PAGE = 4096,
  ROUNDS = 16,            /* while all is prepared */
  LAST_ROUNDS = 8,        /* before the pause */
  FEW_PAGES = 1024,       /* are left for the pause at once: for more, a round is cheaper */
  STALLED_ROUNDS = 4,     /* that are not shorter than the one before by a quarter */
  PAGES_PER_MS = 100,     /* that are copied in the pause: 400 MB/s, a third of what was measured for single pages */
  PAGES_SIZE = 4 << 20,   /* bytes read at a time */
  BEAT_US = 20 * 1000,
};

typedef struct
{
  pid_t pid;
  PvFd pidfd;
  PvFd userfaultfd;
  PvDirectDevices *devices; /* (owned) (nullable) */
  PvRamMap *map;            /* (owned) */
  PvRamWatch *watch;        /* (owned) */
  PvRamPages *pages;        /* (owned): of rounds */
  GPtrArray *last;          /* (owned) (element-type PvRamPages): of the pause, in order */
  guint n_last;             /* that hold something */
  PvTrackingCheck *check;   /* (owned) (nullable) */
  guint64 limit;            /* pages that may be left for the pause */
  guint64 expected;         /* pages that were left for it when all was prepared; at most limit */
  PvGuardian *guardian;     /* (not owned) */
  GThread *beat;            /* (owned) (nullable) */
  gboolean silent;          /* the beat shall end; atomic */
} Direct;

/* --- beating --- */

static gpointer
beat (gpointer data)
{
  Direct *direct = data;

  while (!__atomic_load_n (&direct->silent, __ATOMIC_RELAXED))
    {
      pv_guardian_beat (direct->guardian);
      g_usleep (BEAT_US);
    }
  return NULL;
}

static void
direct_free (gpointer data)
{
  Direct *direct = data;

  __atomic_store_n (&direct->silent, TRUE, __ATOMIC_RELAXED);
  if (direct->beat != NULL)
    g_thread_join (direct->beat);
  g_clear_pointer (&direct->check, pv_tracking_check_free);
  g_clear_pointer (&direct->watch, pv_ram_watch_free);
  g_clear_pointer (&direct->devices, pv_direct_devices_free);
  g_clear_pointer (&direct->map, pv_ram_map_free);
  g_clear_pointer (&direct->pages, pv_ram_pages_free);
  g_ptr_array_unref (direct->last);
  pv_fd_clear (&direct->userfaultfd);
  pv_fd_clear (&direct->pidfd);
  g_free (direct);
}

static void
free_pages (gpointer pages)
{
  pv_ram_pages_free (pages);
}

static Direct *
direct_new (PvCapture *capture)
{
  Direct *direct = g_new0 (Direct, 1);

  direct->pidfd = direct->userfaultfd = PV_FD_NONE;
  direct->last = g_ptr_array_new_with_free_func (free_pages);
  direct->limit = (guint64) capture->options->max_pause_ms * PAGES_PER_MS;
  direct->guardian = capture->guardian;
  direct->pages = pv_ram_pages_new (PAGES_SIZE);
  direct->beat = g_thread_new ("direct-beat", beat, direct);
  return direct;
}

/* --- tracking --- */

/* The snapshot before has all blocks, of the same sizes. */
static gboolean
is_base_alike (const PvCapture *capture, const Direct *direct)
{
  for (guint i = 0; capture->base != NULL && i < pv_ram_map_n_blocks (direct->map); i++)
    {
      const PvRamMapBlock *block = pv_ram_map_block (direct->map, i);
      const PvVolume *volume = pv_snapshot_find_volume (capture->base, PV_VOLUME_RAM, block->name);

      if (volume == NULL || volume->size != block->size)
        return FALSE;
    }
  return capture->base != NULL;
}

/* The userfaultfd of the capture before, else a new one. */
static gboolean
take_tracker (PvCapture *capture, Direct *direct, GError **error)
{
  PvSnapshot *base = is_base_alike (capture, direct) ? capture->base : NULL;

  direct->userfaultfd = pv_tracker_take (pv_guest_uuid (capture->guest), direct->map, direct->pid, base);
  capture->tracked = direct->userfaultfd >= 0;
  if (!capture->tracked && pv_capture_step (capture, "capture.direct.userfaultfd", error))
    direct->userfaultfd = pv_direct_process_userfaultfd (capture->guest, direct->pid, direct->pidfd, error);
  return direct->userfaultfd >= 0;
}

/* --- pages --- */

static gboolean
ingest (PvCapture *capture, const PvRamPages *pages, GError **error)
{
  for (guint i = 0; i < pages->pieces->len; i++)
    {
      const PvRamPiece *piece = &g_array_index (pages->pieces, PvRamPiece, i);

      if (piece->bytes != NULL
              ? !pv_ram_ingest_pages (capture->ram, piece->block, piece->offset, piece->bytes, piece->size, error)
              : !pv_ram_ingest_zero (capture->ram, piece->block, piece->offset, piece->size, error))
        return FALSE;
    }
  return TRUE;
}

/* All that is to be taken, while the guest runs. */
static gboolean
take_round (PvCapture *capture, Direct *direct, GError **error)
{
  do
    {
      if (!pv_capture_step (capture, "capture.direct.take", error)
          || !pv_ram_watch_take (direct->watch, direct->pages, error) || !ingest (capture, direct->pages, error))
        return FALSE;
      if (direct->check != NULL)
        pv_tracking_check_note (direct->check, direct->pages);
      if (capture->tick != NULL)
        capture->tick (capture->tick_data);
    }
  while (direct->pages->pieces->len > 0);
  return TRUE;
}

/* Pauses the guest, and leaves it paused. */
static gboolean
pause_and_scan (PvCapture *capture, Direct *direct, GError **error)
{
  return pv_capture_pause (capture, error) && pv_ram_map_check (direct->map, error)
         && pv_ram_watch_scan (direct->watch, error) && pv_fault ("capture.direct.scanned", error);
}

/* The guardian minds that we are alive. */
static void
expect_pause (PvCapture *capture, gboolean on)
{
  pv_guardian_watch (capture->guardian, on);
  pv_guardian_frozen (capture->guardian, on);
}

static gboolean
throw_too_fast (PvCapture *capture, const Direct *direct, guint64 n_pages, GError **error)
{
  return pv_throw (error, PV_ERROR_UNSUPPORTED, "guest %s writes to its memory faster than it can be read: %"
                   G_GUINT64_FORMAT " KiB were left for a pause that allows for %" G_GUINT64_FORMAT " KiB: give a "
                   "longer --max-pause, or --engine qemu", pv_guest_name (capture->guest), n_pages * (PAGE / 1024),
                   direct->limit * (PAGE / 1024));
}

/* What was not written to since the snapshot before. */
static gboolean
keep (PvCapture *capture, Direct *direct, GError **error)
{
  g_autoptr(GArray) pieces = g_array_new (FALSE, FALSE, sizeof (PvRamPiece));

  pv_ram_watch_keep (direct->watch, pieces);
  for (guint i = 0; i < pieces->len; i++)
    {
      const PvRamPiece *piece = &g_array_index (pieces, PvRamPiece, i);

      if (!pv_ram_ingest_keep (capture->ram, piece->block, piece->offset, piece->size, error)
          || (direct->check != NULL
              && !pv_tracking_check_note_kept (direct->check, capture->store, capture->base, piece, error)))
        return FALSE;
    }
  return TRUE;
}

/* Until what the guest writes during a round is little enough for the pause. */
static gboolean
take_rounds (PvCapture *capture, Direct *direct, GError **error)
{
  guint64 before = G_MAXUINT64, n_pages = 0;
  guint stalled = 0;

  if (!pv_ram_watch_peek (direct->watch, &n_pages, error))
    return FALSE;
  direct->expected = pv_ram_watch_pending (direct->watch) + n_pages;
  if (direct->expected <= MIN (FEW_PAGES, direct->limit))
    return TRUE;
  for (guint i = 0; i < ROUNDS && stalled < STALLED_ROUNDS; i++)
    {
      gboolean ok;

      expect_pause (capture, TRUE);
      ok = pause_and_scan (capture, direct, error) && pv_capture_resume (capture, error);
      expect_pause (capture, FALSE);
      if (!ok || !take_round (capture, direct, error) || !pv_ram_watch_peek (direct->watch, &n_pages, error))
        return FALSE;
      direct->expected = n_pages;
      if (n_pages <= direct->limit)
        return TRUE;
      stalled = n_pages > before / 4 * 3 ? stalled + 1 : 0;
      before = n_pages;
    }
  return throw_too_fast (capture, direct, n_pages, error);
}

/* Where the last pages go is made ready before the pause: what is expected and as much again, should the guest write
 * on like that. */
static void
prepare_last (Direct *direct)
{
  guint64 size = MIN (2 * direct->expected + 1, direct->limit) * PAGE;

  for (guint64 at = 0; at < size; at += PAGES_SIZE)
    g_ptr_array_add (direct->last, pv_ram_pages_new (PAGES_SIZE));
}

/* --- the engine --- */

static gboolean
begin (PvCapture *capture, Direct *direct, GError **error)
{
  g_autoptr(PvStreamHead) head = NULL;

  direct->map = pv_ram_map_new (capture->guest, direct->pid, error);
  head = direct->map != NULL ? pv_direct_stream_head (capture->guest, direct->map, error) : NULL;
  if (head == NULL || !take_tracker (capture, direct, error))
    return FALSE;
  if (capture->options->check_tracking)
    {
      direct->check = pv_tracking_check_new (direct->map, error);
      if (direct->check == NULL)
        return FALSE;
    }
  direct->watch = pv_ram_watch_new (direct->map, direct->pid, direct->userfaultfd, error);
  /* the first scan takes longest: it must not be in a pause */
  if (direct->watch == NULL || !pv_fault ("capture.direct.watched", error)
      || !pv_ram_watch_scan (direct->watch, error))
    return FALSE;
  direct->devices = pv_direct_devices_new (capture, error);
  return direct->devices != NULL && pv_ram_ingest_begin (capture->ram, head, error)
         && (!capture->tracked || keep (capture, direct, error));
}

static gboolean
direct_prepare (PvCapture *capture, GError **error)
{
  Direct *direct;

  if (!g_str_equal (capture->was, "running"))
    return pv_throw (error, PV_ERROR_UNSUPPORTED,
                     "guest %s is paused: nothing of it changes that would have to be watched, the paused engine costs "
                     "it nothing", pv_guest_name (capture->guest));
  direct = direct_new (capture);
  capture->engine_data = direct;
  capture->free_engine_data = direct_free;
  direct->pidfd = pv_direct_process_open (capture->guest, &direct->pid, error);
  if (direct->pidfd < 0 || !begin (capture, direct, error) || !take_rounds (capture, direct, error))
    return FALSE;
  prepare_last (direct);
  return TRUE;
}

static gboolean
direct_freeze (PvCapture *capture, GError **error)
{
  Direct *direct = capture->engine_data;

  for (guint i = 0; i < LAST_ROUNDS; i++)
    {
      if (!pause_and_scan (capture, direct, error))
        return FALSE;
      if (pv_ram_watch_pending (direct->watch) <= direct->limit)
        return TRUE;
      if (!pv_capture_resume (capture, error) || !take_round (capture, direct, error))
        return FALSE;
    }
  return throw_too_fast (capture, direct, direct->limit, error);
}

/* Into memory of ours: nothing that could be slow. */
static gboolean
copy_last (Direct *direct, GError **error)
{
  for (;;)
    {
      PvRamPages *pages;

      if (direct->n_last == direct->last->len)
        g_ptr_array_add (direct->last, pv_ram_pages_new (PAGES_SIZE));
      pages = direct->last->pdata[direct->n_last];
      if (!pv_ram_watch_take (direct->watch, pages, error))
        return FALSE;
      if (pages->pieces->len == 0)
        return TRUE;
      direct->n_last++;
    }
}

static void
tell_alive (gpointer guardian)
{
  pv_guardian_check (guardian, NULL);
}

static gboolean
check_tracking (Direct *direct, GError **error)
{
  if (direct->check == NULL)
    return TRUE;
  for (guint i = 0; i < direct->n_last; i++)
    pv_tracking_check_note (direct->check, direct->last->pdata[i]);
  return pv_tracking_check_compare (direct->check, direct->pid, tell_alive, direct->guardian, error);
}

/* Devices first: what their saving may write to memory is then among the last pages. */
static gboolean
direct_arm (PvCapture *capture, GError **error)
{
  Direct *direct = capture->engine_data;

  return pv_capture_step (capture, "capture.direct.devices", error)
         && pv_direct_devices_save (direct->devices, capture->guest, error) && pv_ram_map_check (direct->map, error)
         && pv_ram_watch_scan (direct->watch, error) && copy_last (direct, error) && check_tracking (direct, error)
         && pv_fault ("capture.direct.copied", error) && pv_capture_resume (capture, error);
}

/* Or leaves it to who comes after. */
static void
end_watching (PvCapture *capture, Direct *direct)
{
  g_clear_pointer (&direct->check, pv_tracking_check_free);
  g_clear_pointer (&direct->watch, pv_ram_watch_free);
  if (capture->options->track)
    capture->tracking = pv_tracking_new (g_steal_pointer (&direct->map), pv_fd_steal (&direct->userfaultfd),
                                         pv_fd_steal (&direct->pidfd));
  else
    pv_fd_clear (&direct->userfaultfd);
}

static gboolean
direct_settle (PvCapture *capture, GError **error)
{
  Direct *direct = capture->engine_data;
  g_autoptr(GBytes) saved = NULL;
  g_autoptr(GBytes) devices = NULL;

  end_watching (capture, direct);
  saved = pv_direct_devices_read (direct->devices, error);
  devices = saved != NULL ? pv_direct_stream_devices (saved, error) : NULL;
  if (devices == NULL)
    return FALSE;
  for (guint i = 0; i < direct->n_last; i++)
    if (!pv_capture_step (capture, "capture.direct.settle", error)
        || !ingest (capture, direct->last->pdata[i], error))
      return FALSE;
  pv_ram_ingest_devices (capture->ram, devices);
  return TRUE;
}

const PvEngineOps pv_engine_direct = {
  .name = "direct",
  .prepare = direct_prepare,
  .freeze = direct_freeze,
  .arm = direct_arm,
  .settle = direct_settle,
};
