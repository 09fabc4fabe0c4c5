/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The pieces of a stream outside of memory: header, section headers, footers, commands, configuration. */
#include "config.h"

#include <string.h>

#include "stream/stream-decoder-private.h"
#include "stream/stream-format.h"
#include "util/error.h"

#define COMMAND_MAX 1024u /* bytes of a command that is skipped */

PvStep
pv_stream_step_start (PvStreamDecoder *self, PvCursor *cursor, GError **error)
{
  guint32 magic = pv_cursor_be32 (cursor), version = pv_cursor_be32 (cursor);

  if (cursor->overrun)
    return PV_STEP_MORE;
  if (magic != PV_STREAM_MAGIC)
    return pv_corrupt (error, "not a QEMU migration stream");
  if (version != PV_STREAM_VERSION)
    return pv_throw (error, PV_ERROR_UNSUPPORTED, "stream version %u is not supported (only %u)", version,
                     PV_STREAM_VERSION);
  self->head->version = version;
  self->state = PV_STATE_TYPE;
  return PV_STEP_DONE;
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

static PvStep
step_footer (PvStreamDecoder *self, PvCursor *cursor, GError **error)
{
  guint32 id = pv_cursor_be32 (cursor);

  if (cursor->overrun)
    return PV_STEP_MORE;
  if (!self->footer_due || (self->footers_known && !self->head->footers))
    return pv_corrupt (error, "a section footer where none should be");
  if (id != self->head->ram_section_id)
    return pv_corrupt (error, "the footer of section %u is in section %u", id, self->head->ram_section_id);
  self->head->footers = TRUE;
  self->footers_known = TRUE;
  self->footer_due = FALSE;
  return announce_blocks (self, error) ? PV_STEP_DONE : PV_STEP_FAILED;
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

static PvStep
step_ram_start (PvStreamDecoder *self, PvCursor *cursor, GError **error)
{
  guint32 id = pv_cursor_be32 (cursor);
  guint8 len = pv_cursor_u8 (cursor);
  const char *name = (const char *) pv_cursor_bytes (cursor, len);
  guint32 instance = pv_cursor_be32 (cursor), version = pv_cursor_be32 (cursor);

  if (cursor->overrun)
    return PV_STEP_MORE;
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
  self->state = PV_STATE_SETUP_TOTAL;
  return PV_STEP_DONE;
}

static PvStep
step_ram_part (PvStreamDecoder *self, guint8 type, PvCursor *cursor, GError **error)
{
  guint32 id = pv_cursor_be32 (cursor);

  if (cursor->overrun)
    return PV_STEP_MORE;
  if (!self->ram_set_up || id != self->head->ram_section_id)
    return pv_corrupt (error, "section %u goes on but never started", id);
  if (self->ram_ended)
    return pv_corrupt (error, "the RAM section goes on after its end");
  self->ram_ended = type == PV_SECTION_END;
  self->state = PV_STATE_RECORDS;
  return PV_STEP_DONE;
}

/* Commands are about the way back to the sender; in a file they have no meaning, and are left out when written again.
 * */
static PvStep
step_command (PvStreamDecoder *self, PvCursor *cursor, GError **error)
{
  guint16 command = pv_cursor_be16 (cursor), len = pv_cursor_be16 (cursor);

  if (cursor->overrun)
    return PV_STEP_MORE;
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
  return pv_step_more_or (cursor, TRUE);
}

/* FULL sections and EOF begin the devices; they have no lengths, so that nothing after them can be told apart. */
static PvStep
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
        return PV_STEP_MORE;
      if (!pv_ram_block_name_ok (name, len))
        return pv_corrupt (error, "a device section has no printable name");
      return pv_throw (error, PV_ERROR_UNSUPPORTED,
                       "the device '%.*s' is saved before memory (virtio-mem does that): not supported", len, name);
    }
  cursor->offset--; /* the type byte belongs to the devices */
  self->state = PV_STATE_DEVICES;
  return PV_STEP_DONE;
}

static PvStep
step_configuration (PvStreamDecoder *self, PvCursor *cursor, GError **error)
{
  if (self->head->configuration != NULL || self->head->blocks->len > 0)
    return pv_corrupt (error, "a configuration section where none should be");
  if (!pv_stream_configuration_read_machine (self->head, cursor, error))
    return PV_STEP_FAILED;
  self->in_configuration = !cursor->overrun;
  return pv_step_more_or (cursor, TRUE);
}

static PvStep
step_subsection (PvStreamDecoder *self, PvCursor *cursor, GError **error)
{
  if (!pv_stream_configuration_read_subsection (self->head, &self->carriage, cursor, error))
    return PV_STEP_FAILED;
  if (self->carriage.mapped_ram && self->advised)
    return pv_corrupt (error, "mapped-ram and post-copy exclude each other");
  if (self->carriage.mapped_ram && !self->mapped_accepted)
    return pv_throw (error, PV_ERROR_UNSUPPORTED,
                     "memory is at fixed places of the file (mapped-ram): it can only be read from a seekable file");
  return pv_step_more_or (cursor, TRUE);
}

PvStep
pv_stream_step_type (PvStreamDecoder *self, PvCursor *cursor, GError **error)
{
  guint8 type = pv_cursor_u8 (cursor);

  if (cursor->overrun)
    return PV_STEP_MORE;
  if (type == PV_SECTION_SUBSECTION && self->in_configuration)
    return step_subsection (self, cursor, error);
  self->in_configuration = FALSE;
  if (type == PV_SECTION_FOOTER)
    return step_footer (self, cursor, error);
  if (self->footer_due && !note_missing_footer (self, error))
    return PV_STEP_FAILED;
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
