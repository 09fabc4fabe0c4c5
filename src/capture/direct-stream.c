/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "capture/direct-stream.h"

#include <string.h>

#include "stream/stream-decoder.h"
#include "stream/stream-format.h"
#include "util/cursor.h"
#include "util/error.h"

/* QEMU counts its sections up from 0: no other has this one. */
#define RAM_SECTION_ID 0x70760000u
#define MACHINE_SUFFIX "-machine"
/* Of which fields sections consist: for people who look at a stream. QEMU skips it. */
#define DESCRIPTION "{\"page_size\":4096,\"devices\":[]}"

/* (transfer full): "pc-i440fx-7.2". */
static char *
machine_name (PvGuest *guest, GError **error)
{
  g_autoptr(JsonObject) arguments = json_object_new ();
  g_autoptr(JsonNode) reply = NULL;
  const char *type;

  json_object_set_string_member (arguments, "path", "/machine");
  json_object_set_string_member (arguments, "property", "type");
  reply = pv_guest_qmp (guest, "qom-get", arguments, error);
  if (reply == NULL)
    return NULL;
  type = JSON_NODE_HOLDS_VALUE (reply) ? json_node_get_string (reply) : NULL;
  if (type != NULL && g_str_has_suffix (type, MACHINE_SUFFIX))
    return g_strndup (type, strlen (type) - strlen (MACHINE_SUFFIX));
  pv_throw (error, PV_ERROR_UNSUPPORTED, "guest %s: QEMU does not tell the name of its machine type",
            pv_guest_name (guest));
  return NULL;
}

PvStreamHead *
pv_direct_stream_head (PvGuest *guest, const PvRamMap *map, GError **error)
{
  g_autofree char *machine = machine_name (guest, error);
  g_autoptr(PvStreamHead) head = pv_stream_head_new ();

  if (machine == NULL)
    return NULL;
  head->version = PV_STREAM_VERSION;
  head->configuration = g_byte_array_new ();
  pv_append_be32 (head->configuration, (guint32) strlen (machine));
  g_byte_array_append (head->configuration, (const guint8 *) machine, (guint) strlen (machine));
  head->machine = g_steal_pointer (&machine);
  head->ram_section_id = RAM_SECTION_ID;
  head->ram_version = PV_STREAM_RAM_VERSION;
  for (guint i = 0; i < pv_ram_map_n_blocks (map); i++)
    {
      const PvRamMapBlock *block = pv_ram_map_block (map, i);

      g_ptr_array_add (head->blocks, pv_ram_block_new (block->name, block->size, 0));
    }
  return g_steal_pointer (&head);
}

GBytes *
pv_direct_stream_devices (GBytes *saved, GError **error)
{
  static const PvStreamHandler nothing = { 0 };
  g_autoptr(PvStreamDecoder) decoder = pv_stream_decoder_new (&nothing, NULL);
  g_autoptr(GByteArray) out = g_byte_array_new ();
  g_autoptr(GBytes) devices = NULL;
  gsize size;
  const guint8 *bytes = g_bytes_get_data (saved, &size);
  gssize sections;

  if (!pv_stream_decoder_feed (decoder, bytes, size, error) || !pv_stream_decoder_finish (decoder, error))
    {
      g_prefix_error (error, "the device state: ");
      return NULL;
    }
  devices = pv_stream_decoder_devices (decoder);
  bytes = g_bytes_get_data (devices, &size);
  sections = pv_stream_devices_sections (bytes, size, TRUE);
  if (sections < 0)
    {
      pv_throw (error, PV_ERROR_UNSUPPORTED, "its device state is written in the way of QEMU before 2.4: the machine "
                "type is too old");
      return NULL;
    }
  g_byte_array_append (out, bytes, (guint) sections);
  pv_append_u8 (out, PV_SECTION_EOF);
  pv_append_u8 (out, PV_SECTION_VMDESCRIPTION);
  pv_append_be32 (out, (guint32) strlen (DESCRIPTION));
  g_byte_array_append (out, (const guint8 *) DESCRIPTION, (guint) strlen (DESCRIPTION));
  return g_byte_array_free_to_bytes (g_steal_pointer (&out));
}
