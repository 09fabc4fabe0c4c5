/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "stream/stream-decoder.h"

#include <string.h>

#include "stream/stream-decoder-private.h"
#include "stream/stream-format.h"
#include "util/cursor.h"
#include "util/error.h"

#define PIECE_MAX 20480u  /* bytes, outside of page records */
#define RECORD_EXTRA 512u /* bytes of a page record besides the page, rounded up */

PvStreamDecoder *
pv_stream_decoder_new (const PvStreamHandler *handler, gpointer data)
{
  PvStreamDecoder *self;

  g_return_val_if_fail (handler != NULL, NULL);

  self = g_new0 (PvStreamDecoder, 1);
  self->handler = *handler;
  self->data = data;
  self->carry = g_byte_array_new ();
  self->head = pv_stream_head_new ();
  self->devices = g_byte_array_new ();
  self->names = g_hash_table_new (g_str_hash, g_str_equal);
  self->mapped = g_array_new (FALSE, TRUE, sizeof (PvMappedBlock));
  return self;
}

void
pv_stream_decoder_free (PvStreamDecoder *self)
{
  if (self == NULL)
    return;
  g_clear_error (&self->failure);
  g_byte_array_unref (self->carry);
  g_hash_table_unref (self->names);
  pv_stream_head_unref (self->head);
  g_byte_array_unref (self->devices);
  g_array_unref (self->mapped);
  g_free (self);
}

static PvStep
step_one (PvStreamDecoder *self, PvCursor *cursor, GError **error)
{
  switch (self->state)
    {
    case PV_STATE_START:
      return pv_stream_step_start (self, cursor, error);
    case PV_STATE_TYPE:
      return pv_stream_step_type (self, cursor, error);
    case PV_STATE_SETUP_TOTAL:
      return pv_stream_step_setup_total (self, cursor, error);
    case PV_STATE_SETUP_BLOCK:
      return pv_stream_step_setup_block (self, cursor, error);
    case PV_STATE_SETUP_END:
      return pv_stream_step_setup_end (self, cursor, error);
    case PV_STATE_RECORDS:
      return pv_stream_step_record (self, cursor, error);
    case PV_STATE_GAP:
    case PV_STATE_DEVICES:
    default:
      g_assert_not_reached ();
    }
}

/* Bytes in a row are taken as they are: the gaps of a mapped-ram file, and the devices. */
static gboolean
is_bulk (const PvStreamDecoder *self)
{
  return self->state == PV_STATE_GAP || self->state == PV_STATE_DEVICES;
}

static void
close_gap (PvStreamDecoder *self)
{
  if (self->gap_left == 0)
    self->state = self->setup_left > 0 ? PV_STATE_SETUP_BLOCK : PV_STATE_SETUP_END;
}

static gboolean
take_bulk (PvStreamDecoder *self, const guint8 *bytes, gsize n, gsize *taken, GError **error)
{
  if (self->state == PV_STATE_GAP)
    {
      *taken = MIN (self->gap_left, n);
      self->gap_left -= *taken;
      close_gap (self);
    }
  else
    {
      *taken = n;
      if (n > PV_STREAM_DEVICES_MAX - self->devices->len)
        return pv_corrupt (error, "more than %u MiB of device state", PV_STREAM_DEVICES_MAX >> 20);
      g_byte_array_append (self->devices, bytes, n);
    }
  self->n_parsed += *taken;
  return TRUE;
}

/* Takes as many whole pieces as @bytes hold. @taken: bytes of them. PV_STEP_MORE: the rest is an incomplete piece. */
static PvStep
take_pieces (PvStreamDecoder *self, const guint8 *bytes, gsize n, gsize *taken, GError **error)
{
  *taken = 0;
  while (*taken < n && !is_bulk (self))
    {
      PvCursor cursor = PV_CURSOR_INIT (bytes + *taken, n - *taken);
      PvStep step = step_one (self, &cursor, error);

      if (step != PV_STEP_DONE)
        return step;
      *taken += cursor.offset;
      self->n_parsed += cursor.offset;
    }
  return PV_STEP_DONE;
}

static gsize
piece_max (const PvStreamDecoder *self)
{
  return self->state == PV_STATE_RECORDS ? self->head->page_size + RECORD_EXTRA : PIECE_MAX;
}

/* Completes the piece in `carry` with the start of @bytes. @taken: bytes used of @bytes. */
static gboolean
take_carried (PvStreamDecoder *self, const guint8 *bytes, gsize n, gsize *taken, GError **error)
{
  gsize carried = self->carry->len, from_carry;
  gsize extra = MIN (n, piece_max (self) - carried);
  PvStep step;

  g_byte_array_append (self->carry, bytes, extra);
  step = take_pieces (self, self->carry->data, self->carry->len, &from_carry, error);
  if (step == PV_STEP_FAILED)
    return FALSE;
  if (from_carry == 0)
    {
      if (extra < n || self->carry->len >= piece_max (self))
        return pv_corrupt (error, "a record is longer than any record is");
      *taken = extra;
      return TRUE;
    }
  if (from_carry >= carried)
    {
      *taken = from_carry - carried;
      g_byte_array_set_size (self->carry, 0);
      return TRUE;
    }
  /* A look ahead (skip_page_size) had asked for more than the piece turned out to be. */
  g_byte_array_set_size (self->carry, carried);
  g_byte_array_remove_range (self->carry, 0, from_carry);
  *taken = 0;
  return TRUE;
}

static gboolean
feed (PvStreamDecoder *self, const guint8 *bytes, gsize n, GError **error)
{
  while (n > 0)
    {
      gsize taken = 0;

      if (self->carry->len > 0)
        {
          if (!take_carried (self, bytes, n, &taken, error))
            return FALSE;
        }
      else if (is_bulk (self))
        {
          if (!take_bulk (self, bytes, n, &taken, error))
            return FALSE;
        }
      else
        {
          PvStep step = take_pieces (self, bytes, n, &taken, error);

          if (step == PV_STEP_FAILED)
            return FALSE;
          if (step == PV_STEP_MORE)
            {
              if (n - taken >= piece_max (self))
                return pv_corrupt (error, "a record is longer than any record is");
              g_byte_array_append (self->carry, bytes + taken, n - taken);
              taken = n;
            }
        }
      bytes += taken;
      n -= taken;
    }
  return TRUE;
}

static gboolean
remember (PvStreamDecoder *self, gboolean ok, GError *failure, GError **error)
{
  if (ok)
    return TRUE;
  if (failure == NULL)
    failure = g_error_new_literal (PV_ERROR, PV_ERROR_FAILED, "the stream's reader gave up");
  self->failure = failure;
  if (error != NULL)
    *error = g_error_copy (failure);
  return FALSE;
}

gboolean
pv_stream_decoder_feed (PvStreamDecoder *self, const guint8 *bytes, gsize n, GError **error)
{
  GError *failure = NULL;
  gboolean ok;

  g_return_val_if_fail (self != NULL && (bytes != NULL || n == 0), FALSE);

  if (self->failure != NULL)
    return remember (self, FALSE, self->failure, error);
  self->n_bytes += n;
  ok = feed (self, bytes, n, &failure);
  return remember (self, ok, failure, error);
}

static gboolean
finish (PvStreamDecoder *self, GError **error)
{
  static const char *const where[] = {
    [PV_STATE_START] = "in its header",
    [PV_STATE_TYPE] = "between two sections",
    [PV_STATE_SETUP_TOTAL] = "in the list of RAM blocks",
    [PV_STATE_SETUP_BLOCK] = "in the list of RAM blocks",
    [PV_STATE_GAP] = "among the pages of memory",
    [PV_STATE_SETUP_END] = "in the list of RAM blocks",
    [PV_STATE_RECORDS] = "among the pages of memory",
    [PV_STATE_DEVICES] = "among the devices",
  };
  gboolean has_ram = self->head->blocks->len > 0;

  if (self->n_bytes == 0)
    return pv_corrupt (error, "the stream is empty");
  if (self->state != PV_STATE_DEVICES)
    return pv_corrupt (error, "the stream ends early, %s, after %" G_GUINT64_FORMAT " bytes", where[self->state],
                       self->n_bytes);
  if (!pv_stream_devices_complete (self->devices->data, self->devices->len, self->head->footers))
    return pv_corrupt (error, "the stream ends early, %s, after %" G_GUINT64_FORMAT " bytes", where[self->state],
                       self->n_bytes);
  if (has_ram && self->n_pages + self->n_zero == 0 && !self->head->ignore_shared && !self->carriage.mapped_ram)
    return pv_corrupt (error, "the stream has no page of memory (did they go through other channels?)");
  return TRUE;
}

gboolean
pv_stream_decoder_finish (PvStreamDecoder *self, GError **error)
{
  GError *failure = NULL;
  gboolean ok;

  g_return_val_if_fail (self != NULL, FALSE);

  if (self->failure != NULL)
    return remember (self, FALSE, self->failure, error);
  ok = finish (self, &failure);
  return remember (self, ok, failure, error);
}

GBytes *
pv_stream_decoder_head (PvStreamDecoder *self)
{
  return pv_stream_head_serialize (self->head);
}

const PvStreamHead *
pv_stream_decoder_peek_head (const PvStreamDecoder *self)
{
  return self->head;
}

GBytes *
pv_stream_decoder_devices (PvStreamDecoder *self)
{
  return g_bytes_new (self->devices->data, self->devices->len);
}

guint64
pv_stream_decoder_n_pages (const PvStreamDecoder *self)
{
  return self->n_pages;
}

guint64
pv_stream_decoder_n_zero (const PvStreamDecoder *self)
{
  return self->n_zero;
}

guint64
pv_stream_decoder_n_bytes (const PvStreamDecoder *self)
{
  return self->n_bytes;
}

guint64
pv_stream_decoder_page_position (const PvStreamDecoder *self)
{
  return self->page_position;
}

gboolean
pv_stream_decoder_ram_started (const PvStreamDecoder *self)
{
  return self->n_pages + self->n_zero > 0;
}

gboolean
pv_stream_decoder_ram_done (const PvStreamDecoder *self)
{
  return self->state == PV_STATE_DEVICES;
}

void
pv_stream_decoder_accept_mapped (PvStreamDecoder *self, guint64 stream_offset)
{
  g_return_if_fail (self->n_bytes == 0);

  self->mapped_accepted = TRUE;
  self->stream_offset = stream_offset;
}

gboolean
pv_stream_decoder_is_mapped (const PvStreamDecoder *self)
{
  return self->carriage.mapped_ram;
}

gboolean
pv_stream_decoder_ram_is_set_up (const PvStreamDecoder *self)
{
  return self->ram_set_up;
}

const GArray *
pv_stream_decoder_mapped_blocks (const PvStreamDecoder *self)
{
  return self->mapped;
}

guint64
pv_stream_decoder_take_gap (PvStreamDecoder *self)
{
  guint64 gap = self->gap_left;

  if (self->state != PV_STATE_GAP)
    return 0;
  self->gap_left = 0;
  self->n_parsed += gap;
  close_gap (self);
  return gap;
}
