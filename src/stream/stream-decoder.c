/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "stream/stream-decoder.h"

#include <string.h>

#include "stream/stream-configuration.h"
#include "stream/stream-decoder-private.h"
#include "stream/stream-format.h"
#include "util/cursor.h"
#include "util/error.h"

/* The decoder is a state machine over pieces: a piece (header, section header, block entry, page record) is only taken
 * when all of its bytes are there. Pieces are parsed in the caller's buffer; one that a feed cuts in two is put together in
 * `carry` first. No piece is larger than piece_max(). */
#define PIECE_MAX 20480u  /* bytes, outside of page records */
#define RECORD_EXTRA 512u /* bytes of a page record besides the page, rounded up */
#define COMMAND_MAX 1024u /* bytes of a command that is skipped */
#define MAPPED_VERSION 1u

typedef enum
{
  STATE_START,         /* magic, version */
  STATE_TYPE,          /* a section's type byte and header */
  STATE_SETUP_TOTAL,   /* RAM START: total size */
  STATE_SETUP_BLOCK,   /* RAM START: one block */
  STATE_GAP,           /* mapped-ram: bytes that belong to pages */
  STATE_SETUP_END,     /* RAM START: EOS */
  STATE_RECORDS,       /* RAM PART or END: page records up to EOS */
  STATE_DEVICES,       /* everything else */
} State;

typedef enum
{
  STEP_FAILED,
  STEP_MORE, /* the piece is not complete: nothing has happened */
  STEP_DONE,
} Step;

struct _PvStreamDecoder
{
  PvStreamHandler handler;
  gpointer data;          /* (not owned) of the handler */
  GError *failure;        /* owned (nullable): the first error, repeated from then on */

  State state;
  GByteArray *carry;      /* owned: the start of an incomplete piece */
  PvStreamHead *head;     /* owned */
  PvStreamCarriage carriage;
  GByteArray *devices;    /* owned */

  gboolean in_configuration; /* subsections may follow */
  gboolean footer_due;       /* a section of RAM has just ended */
  gboolean footers_known;    /* head->footers is what the stream does */
  gboolean advised;          /* post-copy was announced: blocks may tell their page size */
  gboolean ram_set_up;       /* ram_blocks was called */
  gboolean ram_ended;        /* section END seen */
  guint64 setup_left;        /* bytes of RAM not yet listed */
  GHashTable *names;         /* owned: block name → index + 1; names belong to head */
  guint block;               /* index of the block of the last record; n_blocks when none */
  gsize block_name_len;      /* bytes of its name */

  gboolean mapped_accepted;
  guint64 stream_offset;     /* bytes in the file */
  GArray *mapped;            /* owned: of PvMappedBlock */
  guint64 gap_left;          /* bytes */

  guint64 n_pages, n_zero, n_bytes, n_parsed;
};

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

static inline const PvRamBlock *
block_at (const PvStreamDecoder *self, guint index)
{
  return g_ptr_array_index (self->head->blocks, index);
}

/* STEP_MORE when the cursor has run past the end of what is there. */
static inline Step
more_or (const PvCursor *cursor, gboolean ok)
{
  if (cursor->overrun)
    return STEP_MORE;
  return ok ? STEP_DONE : STEP_FAILED;
}

static Step
step_start (PvStreamDecoder *self, PvCursor *cursor, GError **error)
{
  guint32 magic = pv_cursor_be32 (cursor), version = pv_cursor_be32 (cursor);

  if (cursor->overrun)
    return STEP_MORE;
  if (magic != PV_STREAM_MAGIC)
    return pv_corrupt (error, "not a QEMU migration stream");
  if (version != PV_STREAM_VERSION)
    return pv_throw (error, PV_ERROR_UNSUPPORTED, "stream version %u is not supported (only %u)", version,
                     PV_STREAM_VERSION);
  self->head->version = version;
  self->state = STATE_TYPE;
  return STEP_DONE;
}

/* Says once what the RAM section consists of: when its footer, or the lack of one, is known. */
static gboolean
announce_blocks (PvStreamDecoder *self, GError **error)
{
  if (self->ram_set_up)
    return TRUE;
  self->ram_set_up = TRUE;
  return self->handler.ram_blocks == NULL || self->handler.ram_blocks (self->head->blocks, self->data, error);
}

static Step
step_footer (PvStreamDecoder *self, PvCursor *cursor, GError **error)
{
  guint32 id = pv_cursor_be32 (cursor);

  if (cursor->overrun)
    return STEP_MORE;
  if (!self->footer_due || (self->footers_known && !self->head->footers))
    return pv_corrupt (error, "a section footer where none should be");
  if (id != self->head->ram_section_id)
    return pv_corrupt (error, "the footer of section %u is in section %u", id, self->head->ram_section_id);
  self->head->footers = TRUE;
  self->footers_known = TRUE;
  self->footer_due = FALSE;
  return announce_blocks (self, error) ? STEP_DONE : STEP_FAILED;
}

/* A section of RAM has ended and something else than a footer follows. */
static gboolean
note_missing_footer (PvStreamDecoder *self, GError **error)
{
  if (self->footers_known && self->head->footers)
    return pv_corrupt (error, "section %u has no footer", self->head->ram_section_id);
  self->head->footers = FALSE;
  self->footers_known = TRUE;
  self->footer_due = FALSE;
  return announce_blocks (self, error);
}

static Step
step_ram_start (PvStreamDecoder *self, PvCursor *cursor, GError **error)
{
  guint32 id = pv_cursor_be32 (cursor);
  guint8 len = pv_cursor_u8 (cursor);
  const char *name = (const char *) pv_cursor_bytes (cursor, len);
  guint32 instance = pv_cursor_be32 (cursor), version = pv_cursor_be32 (cursor);

  if (cursor->overrun)
    return STEP_MORE;
  if (!pv_ram_block_name_ok (name, len))
    return pv_corrupt (error, "section %u has no printable name", id);
  if (len != strlen (PV_STREAM_RAM_NAME) || memcmp (name, PV_STREAM_RAM_NAME, len) != 0)
    return pv_throw (error, PV_ERROR_UNSUPPORTED, "the stream has the section '%.*s', which pagevault cannot keep", len,
                     name);
  if (self->head->blocks->len > 0)
    return pv_corrupt (error, "the RAM section starts twice");
  if (version != PV_STREAM_RAM_VERSION)
    return pv_throw (error, PV_ERROR_UNSUPPORTED, "RAM section version %u is not supported (only %u)", version,
                     PV_STREAM_RAM_VERSION);
  self->head->ram_section_id = id;
  self->head->ram_instance_id = instance;
  self->head->ram_version = version;
  self->state = STATE_SETUP_TOTAL;
  return STEP_DONE;
}

static Step
step_ram_part (PvStreamDecoder *self, guint8 type, PvCursor *cursor, GError **error)
{
  guint32 id = pv_cursor_be32 (cursor);

  if (cursor->overrun)
    return STEP_MORE;
  if (!self->ram_set_up || id != self->head->ram_section_id)
    return pv_corrupt (error, "section %u goes on but never started", id);
  if (self->ram_ended)
    return pv_corrupt (error, "the RAM section goes on after its end");
  self->ram_ended = type == PV_SECTION_END;
  self->state = STATE_RECORDS;
  return STEP_DONE;
}

/* Commands are about the way back to the sender; in a file they have no meaning, and are left out when written again. */
static Step
step_command (PvStreamDecoder *self, PvCursor *cursor, GError **error)
{
  guint16 command = pv_cursor_be16 (cursor), len = pv_cursor_be16 (cursor);

  if (cursor->overrun)
    return STEP_MORE;
  switch (command)
    {
    case PV_COMMAND_POSTCOPY_ADVISE:
      if (self->carriage.mapped_ram)
        return pv_corrupt (error, "mapped-ram and post-copy exclude each other");
      self->advised = TRUE;
      break;
    case PV_COMMAND_OPEN_RETURN_PATH:
    case PV_COMMAND_PING:
    case PV_COMMAND_SWITCHOVER_START:
      break;
    default:
      return pv_throw (error, PV_ERROR_UNSUPPORTED,
                       "the stream has command %u: a post-copy or COLO migration, not a saved guest", command);
    }
  if (len > COMMAND_MAX)
    return pv_corrupt (error, "command %u is %u bytes long (at most %u)", command, len, COMMAND_MAX);
  pv_cursor_bytes (cursor, len);
  return more_or (cursor, TRUE);
}

/* FULL sections and EOF begin the devices; they have no lengths, so that nothing after them can be told apart. */
static Step
step_devices_begin (PvStreamDecoder *self, guint8 type, PvCursor *cursor, GError **error)
{
  if (!self->ram_set_up && type == PV_SECTION_EOF)
    return pv_corrupt (error, "the stream ends with neither memory nor devices");
  if (!self->ram_set_up && self->head->configuration != NULL)
    {
      guint8 len;
      const char *name;

      pv_cursor_be32 (cursor);
      len = pv_cursor_u8 (cursor);
      name = (const char *) pv_cursor_bytes (cursor, len);
      if (cursor->overrun)
        return STEP_MORE;
      if (!pv_ram_block_name_ok (name, len))
        return pv_corrupt (error, "a device section has no printable name");
      return pv_throw (error, PV_ERROR_UNSUPPORTED,
                       "the device '%.*s' is saved before memory (virtio-mem does that): not supported", len, name);
    }
  cursor->offset--; /* the type byte belongs to the devices */
  self->state = STATE_DEVICES;
  return STEP_DONE;
}

static Step
step_configuration (PvStreamDecoder *self, PvCursor *cursor, GError **error)
{
  if (self->head->configuration != NULL || self->head->blocks->len > 0)
    return pv_corrupt (error, "a configuration section where none should be");
  if (!pv_stream_configuration_read_machine (self->head, cursor, error))
    return STEP_FAILED;
  self->in_configuration = !cursor->overrun;
  return more_or (cursor, TRUE);
}

static Step
step_subsection (PvStreamDecoder *self, PvCursor *cursor, GError **error)
{
  if (!pv_stream_configuration_read_subsection (self->head, &self->carriage, cursor, error))
    return STEP_FAILED;
  if (self->carriage.mapped_ram && self->advised)
    return pv_corrupt (error, "mapped-ram and post-copy exclude each other");
  if (self->carriage.mapped_ram && !self->mapped_accepted)
    return pv_throw (error, PV_ERROR_UNSUPPORTED,
                     "memory is at fixed places of the file (mapped-ram): it can only be read from a seekable file");
  return more_or (cursor, TRUE);
}

static Step
step_type (PvStreamDecoder *self, PvCursor *cursor, GError **error)
{
  guint8 type = pv_cursor_u8 (cursor);

  if (cursor->overrun)
    return STEP_MORE;
  if (type == PV_SECTION_SUBSECTION && self->in_configuration)
    return step_subsection (self, cursor, error);
  self->in_configuration = FALSE;
  if (type == PV_SECTION_FOOTER)
    return step_footer (self, cursor, error);
  if (self->footer_due && !note_missing_footer (self, error))
    return STEP_FAILED;
  switch (type)
    {
    case PV_SECTION_CONFIGURATION:
      return step_configuration (self, cursor, error);
    case PV_SECTION_COMMAND:
      return step_command (self, cursor, error);
    case PV_SECTION_START:
      return step_ram_start (self, cursor, error);
    case PV_SECTION_PART:
    case PV_SECTION_END:
      return step_ram_part (self, type, cursor, error);
    case PV_SECTION_FULL:
    case PV_SECTION_EOF:
      return step_devices_begin (self, type, cursor, error);
    default:
      return pv_corrupt (error, "unknown section type 0x%02x", type);
    }
}

static Step
step_setup_total (PvStreamDecoder *self, PvCursor *cursor, GError **error)
{
  guint64 word = pv_cursor_be64 (cursor), mask = self->head->page_size - 1;

  if (cursor->overrun)
    return STEP_MORE;
  if ((word & mask) != PV_RAM_MEM_SIZE)
    return pv_corrupt (error, "the RAM section does not start with its size");
  self->setup_left = word & ~mask;
  if (self->setup_left == 0 || self->setup_left > PV_RAM_TOTAL_MAX)
    return pv_corrupt (error, "impossible RAM size %" G_GUINT64_FORMAT, self->setup_left);
  self->state = STATE_SETUP_BLOCK;
  return STEP_DONE;
}

/* A page size is told only for blocks whose page size is unusual. It takes the place where the next block's name, or the
 * EOS word would be: a power of two of at least 4096 is neither, for its first byte is 0 and it is no set of flags. */
static void
skip_page_size (const PvStreamDecoder *self, PvCursor *cursor)
{
  PvCursor ahead = *cursor;
  guint64 word = pv_cursor_be64 (&ahead);

  if (ahead.overrun || (word >= PV_RAM_PAGE_MIN && word >> 56 == 0))
    *cursor = ahead;
}

/* @position: bytes in the file, just behind the header. */
static gboolean
check_mapped (const PvStreamDecoder *self, const PvMappedBlock *mapped, guint64 size, guint64 position, GError **error)
{
  guint64 bitmap_size = (size / self->head->page_size + 63) / 64 * 8;

  if (mapped->bitmap_offset == 0 && mapped->pages_offset == 0)
    return TRUE;
  if (mapped->bitmap_offset < position || mapped->bitmap_offset > G_MAXINT64 - bitmap_size
      || mapped->pages_offset < mapped->bitmap_offset + bitmap_size
      || mapped->pages_offset > G_MAXINT64 - size)
    return pv_corrupt (error, "impossible place in the file (bitmap at %" G_GUINT64_FORMAT ", pages at %" G_GUINT64_FORMAT
                       ")", mapped->bitmap_offset, mapped->pages_offset);
  return TRUE;
}

static Step
read_mapped (PvStreamDecoder *self, PvCursor *cursor, guint64 size, PvMappedBlock *mapped, GError **error)
{
  guint32 version = pv_cursor_be32 (cursor);
  guint64 page_size = pv_cursor_be64 (cursor);

  mapped->bitmap_offset = pv_cursor_be64 (cursor);
  mapped->pages_offset = pv_cursor_be64 (cursor);
  if (cursor->overrun)
    return STEP_MORE;
  if (version != MAPPED_VERSION)
    return pv_throw (error, PV_ERROR_UNSUPPORTED, "mapped-ram version %u is not supported (only %u)", version,
                     MAPPED_VERSION);
  if (page_size != self->head->page_size)
    return pv_corrupt (error, "mapped pages of %" G_GUINT64_FORMAT " bytes in a guest with pages of %u", page_size,
                       self->head->page_size);
  if (!check_mapped (self, mapped, size, self->stream_offset + self->n_parsed + cursor->offset, error))
    return STEP_FAILED;
  return STEP_DONE;
}

static gboolean
check_block (const PvStreamDecoder *self, const char *bytes, guint8 len, guint64 size, char **name, GError **error)
{
  if (!pv_ram_block_name_ok (bytes, len))
    return pv_corrupt (error, "RAM block %u has no printable name", self->head->blocks->len);
  if (self->head->blocks->len == PV_RAM_BLOCKS_MAX)
    return pv_corrupt (error, "more than %u RAM blocks", PV_RAM_BLOCKS_MAX);
  *name = g_strndup (bytes, len);
  if (g_hash_table_contains (self->names, *name))
    return pv_corrupt (error, "RAM block %s comes twice", *name);
  if (size == 0 || size % self->head->page_size != 0 || size > self->setup_left)
    return pv_corrupt (error, "RAM block %s: impossible size %" G_GUINT64_FORMAT, *name, size);
  return TRUE;
}

static Step
step_setup_block (PvStreamDecoder *self, PvCursor *cursor, GError **error)
{
  guint8 len = pv_cursor_u8 (cursor);
  const char *bytes = (const char *) pv_cursor_bytes (cursor, len);
  guint64 size = pv_cursor_be64 (cursor), address = 0;
  g_autofree char *name = NULL;
  PvMappedBlock mapped = { 0 };

  if (cursor->overrun)
    return STEP_MORE;
  if (!check_block (self, bytes, len, size, &name, error))
    return STEP_FAILED;
  if (self->advised)
    skip_page_size (self, cursor);
  if (self->head->ignore_shared)
    address = pv_cursor_be64 (cursor);
  if (self->carriage.mapped_ram)
    {
      Step step = read_mapped (self, cursor, size, &mapped, error);

      if (step == STEP_FAILED)
        g_prefix_error (error, "RAM block %s: ", name);
      if (step != STEP_DONE)
        return step;
    }
  if (cursor->overrun)
    return STEP_MORE;

  g_ptr_array_add (self->head->blocks, pv_ram_block_new (name, size, address));
  g_array_append_val (self->mapped, mapped);
  g_hash_table_insert (self->names, block_at (self, self->head->blocks->len - 1)->name,
                       GUINT_TO_POINTER (self->head->blocks->len));
  self->setup_left -= size;
  self->block = self->head->blocks->len;
  self->state = self->setup_left > 0 ? STATE_SETUP_BLOCK : STATE_SETUP_END;
  if (mapped.pages_offset > 0)
    {
      self->gap_left = mapped.pages_offset + size - (self->stream_offset + self->n_parsed + cursor->offset);
      self->state = STATE_GAP;
    }
  return STEP_DONE;
}

static gboolean
refuse_record (guint64 flags, GError **error)
{
  switch (flags)
    {
    case PV_RAM_XBZRLE:
      return pv_throw (error, PV_ERROR_UNSUPPORTED, "pages are XBZRLE deltas: save without the capability xbzrle");
    case PV_RAM_COMPRESS_PAGE:
      return pv_throw (error, PV_ERROR_UNSUPPORTED, "pages are compressed: save without the capability compress");
    case PV_RAM_MULTIFD_FLUSH:
      return pv_throw (error, PV_ERROR_UNSUPPORTED,
                       "pages went through other channels: save without the capability multifd");
    case PV_RAM_HOOK:
      return pv_throw (error, PV_ERROR_UNSUPPORTED, "pages went through RDMA: save to a file or a socket");
    case PV_RAM_MEM_SIZE:
      return pv_corrupt (error, "the list of RAM blocks comes twice");
    default:
      return pv_corrupt (error, "a RAM record with unknown flags 0x%x", (guint) flags);
    }
}

static Step
step_setup_end (PvStreamDecoder *self, PvCursor *cursor, GError **error)
{
  guint64 word = pv_cursor_be64 (cursor);

  if (cursor->overrun)
    return STEP_MORE;
  if (word == PV_RAM_PAGE || word == PV_RAM_ZERO)
    return pv_corrupt (error, "a page before the list of RAM blocks has ended");
  if (word != PV_RAM_EOS)
    return refuse_record (word & (self->head->page_size - 1), error);
  self->footer_due = TRUE;
  self->state = STATE_TYPE;
  return STEP_DONE;
}

/* The block that a record names. */
static gboolean
find_block (PvStreamDecoder *self, const char *bytes, guint8 len, GError **error)
{
  char name[PV_RAM_BLOCK_NAME_MAX + 1];
  guint index;

  if (len > 0 && len == self->block_name_len && memcmp (block_at (self, self->block)->name, bytes, len) == 0)
    return TRUE;
  memcpy (name, bytes, len);
  name[len] = '\0';
  index = GPOINTER_TO_UINT (g_hash_table_lookup (self->names, name));
  if (index == 0 || strlen (name) != len)
    return pv_corrupt (error, "a page of a RAM block that is not listed");
  self->block = index - 1;
  self->block_name_len = len;
  return TRUE;
}

gboolean
pv_stream_decoder_emit_pages (PvStreamDecoder *self, guint block_index, guint64 offset, const guint8 *bytes,
                              guint n_bytes, GError **error)
{
  self->n_pages += n_bytes / self->head->page_size;
  return self->handler.pages == NULL || self->handler.pages (block_index, offset, bytes, n_bytes, self->data, error);
}

static gboolean
emit_zero (PvStreamDecoder *self, guint64 offset, guint8 fill, GError **error)
{
  if (fill != 0)
    return pv_corrupt (error, "a zero page filled with 0x%02x", fill);
  self->n_zero++;
  return self->handler.zero == NULL
         || self->handler.zero (self->block, offset, self->head->page_size, self->data, error);
}

/* One record of a RAM section. */
static Step
step_record (PvStreamDecoder *self, PvCursor *cursor, GError **error)
{
  guint32 page_size = self->head->page_size;
  guint64 word = pv_cursor_be64 (cursor), flags = word & (page_size - 1), offset = word & ~(guint64) (page_size - 1);
  guint64 kind = flags & ~(guint64) PV_RAM_CONTINUE;
  const guint8 *name = NULL, *payload;
  guint8 len = 0;

  if (cursor->overrun)
    return STEP_MORE;
  if (word == PV_RAM_EOS)
    {
      self->footer_due = TRUE;
      self->state = STATE_TYPE;
      return STEP_DONE;
    }
  if (kind != PV_RAM_PAGE && kind != PV_RAM_ZERO)
    return refuse_record (kind, error);
  if (self->carriage.mapped_ram)
    return pv_corrupt (error, "a page in the stream of a mapped-ram file");
  if (kind == flags)
    {
      len = pv_cursor_u8 (cursor);
      name = pv_cursor_bytes (cursor, len);
    }
  payload = pv_cursor_bytes (cursor, kind == PV_RAM_PAGE ? page_size : 1);
  if (cursor->overrun)
    return STEP_MORE;
  if (name != NULL && !find_block (self, (const char *) name, len, error))
    return STEP_FAILED;
  if (self->block >= self->head->blocks->len)
    return pv_corrupt (error, "a page of no RAM block");
  if (offset >= block_at (self, self->block)->size)
    return pv_corrupt (error, "a page at %" G_GUINT64_FORMAT ", behind the end of RAM block %s", offset,
                       block_at (self, self->block)->name);
  if (kind == PV_RAM_PAGE)
    return pv_stream_decoder_emit_pages (self, self->block, offset, payload, page_size, error) ? STEP_DONE
                                                                                               : STEP_FAILED;
  return emit_zero (self, offset, payload[0], error) ? STEP_DONE : STEP_FAILED;
}

static Step
step_one (PvStreamDecoder *self, PvCursor *cursor, GError **error)
{
  switch (self->state)
    {
    case STATE_START:
      return step_start (self, cursor, error);
    case STATE_TYPE:
      return step_type (self, cursor, error);
    case STATE_SETUP_TOTAL:
      return step_setup_total (self, cursor, error);
    case STATE_SETUP_BLOCK:
      return step_setup_block (self, cursor, error);
    case STATE_SETUP_END:
      return step_setup_end (self, cursor, error);
    case STATE_RECORDS:
      return step_record (self, cursor, error);
    case STATE_GAP:
    case STATE_DEVICES:
    default:
      g_assert_not_reached ();
    }
}

/* Bytes in a row are taken as they are: the gaps of a mapped-ram file, and the devices. */
static gboolean
is_bulk (const PvStreamDecoder *self)
{
  return self->state == STATE_GAP || self->state == STATE_DEVICES;
}

static void
close_gap (PvStreamDecoder *self)
{
  if (self->gap_left == 0)
    self->state = self->setup_left > 0 ? STATE_SETUP_BLOCK : STATE_SETUP_END;
}

static gboolean
take_bulk (PvStreamDecoder *self, const guint8 *bytes, gsize n, gsize *taken, GError **error)
{
  if (self->state == STATE_GAP)
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

/* Takes as many whole pieces as @bytes hold. @taken: bytes of them. STEP_MORE: the rest is an incomplete piece. */
static Step
take_pieces (PvStreamDecoder *self, const guint8 *bytes, gsize n, gsize *taken, GError **error)
{
  *taken = 0;
  while (*taken < n && !is_bulk (self))
    {
      PvCursor cursor = PV_CURSOR_INIT (bytes + *taken, n - *taken);
      Step step = step_one (self, &cursor, error);

      if (step != STEP_DONE)
        return step;
      *taken += cursor.offset;
      self->n_parsed += cursor.offset;
    }
  return STEP_DONE;
}

static gsize
piece_max (const PvStreamDecoder *self)
{
  return self->state == STATE_RECORDS ? self->head->page_size + RECORD_EXTRA : PIECE_MAX;
}

/* Completes the piece in `carry` with the start of @bytes. @taken: bytes used of @bytes. */
static gboolean
take_carried (PvStreamDecoder *self, const guint8 *bytes, gsize n, gsize *taken, GError **error)
{
  gsize carried = self->carry->len, from_carry;
  gsize extra = MIN (n, piece_max (self) - carried);
  Step step;

  g_byte_array_append (self->carry, bytes, extra);
  step = take_pieces (self, self->carry->data, self->carry->len, &from_carry, error);
  if (step == STEP_FAILED)
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
          Step step = take_pieces (self, bytes, n, &taken, error);

          if (step == STEP_FAILED)
            return FALSE;
          if (step == STEP_MORE)
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
    [STATE_START] = "in its header",
    [STATE_TYPE] = "between two sections",
    [STATE_SETUP_TOTAL] = "in the list of RAM blocks",
    [STATE_SETUP_BLOCK] = "in the list of RAM blocks",
    [STATE_GAP] = "among the pages of memory",
    [STATE_SETUP_END] = "in the list of RAM blocks",
    [STATE_RECORDS] = "among the pages of memory",
    [STATE_DEVICES] = "among the devices",
  };
  gboolean has_ram = self->head->blocks->len > 0;

  if (self->n_bytes == 0)
    return pv_corrupt (error, "the stream is empty");
  if (self->state != STATE_DEVICES)
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

gboolean
pv_stream_decoder_ram_started (const PvStreamDecoder *self)
{
  return self->n_pages + self->n_zero > 0;
}

gboolean
pv_stream_decoder_ram_done (const PvStreamDecoder *self)
{
  return self->state == STATE_DEVICES;
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

  if (self->state != STATE_GAP)
    return 0;
  self->gap_left = 0;
  self->n_parsed += gap;
  close_gap (self);
  return gap;
}
