/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "stream/save-image.h"

#include <fcntl.h>
#include <string.h>

#include "util/cursor.h"
#include "util/error.h"
#include "util/file.h"

#define MAGIC_COMPLETE "LibvirtQemudSave"
#define MAGIC_PARTIAL "LibvirtQemudPart"
#define VERSION_MAX 2u
#define ALIGN_MAX (1u << 20)

enum
{
  SAVE_MAGIC = 0,
  SAVE_VERSION = 16,
  SAVE_DATA_LEN = 20,
  SAVE_WAS_RUNNING = 24,
  SAVE_FORMAT = 28,
  SAVE_COOKIE_OFFSET = 32,
  SAVE_UNUSED = 36,
  MAGIC_SIZE = 16,
  UNUSED_SIZE = 14 * 4,
};
G_STATIC_ASSERT (SAVE_UNUSED + UNUSED_SIZE == PV_SAVE_IMAGE_HEADER_SIZE);
G_STATIC_ASSERT (sizeof MAGIC_COMPLETE - 1 == MAGIC_SIZE && sizeof MAGIC_PARTIAL - 1 == MAGIC_SIZE);

typedef struct
{
  guint32 version, data_len, was_running, format, cookie_offset;
  gboolean big_endian;
} Header;

const char *
pv_save_format_name (PvSaveFormat format)
{
  static const char *const names[] = { "raw", "gzip", "bzip2", "xz", "lzop", "zstd", "sparse" };

  g_return_val_if_fail ((guint) format < G_N_ELEMENTS (names), NULL);

  return names[format];
}

gboolean
pv_save_image_probe (const guint8 *data, gsize size)
{
  return size >= MAGIC_SIZE
         && (memcmp (data, MAGIC_COMPLETE, MAGIC_SIZE) == 0 || memcmp (data, MAGIC_PARTIAL, MAGIC_SIZE) == 0);
}

void
pv_save_image_free (PvSaveImage *self)
{
  if (self == NULL)
    return;
  g_free (self->xml);
  g_free (self->cookie);
  g_free (self);
}

static gboolean
check_header (const Header *header, GError **error)
{
  if (header->format > PV_SAVE_FORMAT_SPARSE)
    return pv_throw (error, PV_ERROR_UNSUPPORTED, "unknown compression %u", header->format);
  if (header->data_len == 0 || header->data_len > PV_SAVE_IMAGE_DATA_MAX)
    return pv_corrupt (error, "the domain XML takes %u bytes (1 to %u are possible)", header->data_len,
                       PV_SAVE_IMAGE_DATA_MAX);
  if (header->cookie_offset >= header->data_len)
    return pv_corrupt (error, "the cookie is at %u, behind the end of the XML at %u", header->cookie_offset,
                       header->data_len);
  return TRUE;
}

/* @data: PV_SAVE_IMAGE_HEADER_SIZE bytes. */
static gboolean
parse_header (const guint8 *data, Header *header, GError **error)
{
  PvCursor cursor = PV_CURSOR_INIT (data + SAVE_VERSION, PV_SAVE_IMAGE_HEADER_SIZE - SAVE_VERSION);

  if (!pv_save_image_probe (data, PV_SAVE_IMAGE_HEADER_SIZE))
    return pv_corrupt (error, "not a libvirt save image");
  if (memcmp (data, MAGIC_PARTIAL, MAGIC_SIZE) == 0)
    return pv_corrupt (error, "the image was never completed: save the guest again");
  header->version = pv_cursor_le32 (&cursor);
  header->data_len = pv_cursor_le32 (&cursor);
  header->was_running = pv_cursor_le32 (&cursor);
  header->format = pv_cursor_le32 (&cursor);
  header->cookie_offset = pv_cursor_le32 (&cursor);
  header->big_endian = header->version > VERSION_MAX;
  if (header->big_endian)
    {
      header->version = GUINT32_SWAP_LE_BE (header->version);
      header->data_len = GUINT32_SWAP_LE_BE (header->data_len);
      header->was_running = GUINT32_SWAP_LE_BE (header->was_running);
      header->format = GUINT32_SWAP_LE_BE (header->format);
      header->cookie_offset = GUINT32_SWAP_LE_BE (header->cookie_offset);
    }
  if (header->version == 0 || header->version > VERSION_MAX)
    return pv_throw (error, PV_ERROR_UNSUPPORTED, "save image version %u is not supported (1 and 2 are)",
                     GUINT32_SWAP_LE_BE (header->version));
  return check_header (header, error);
}

/* (transfer full): the NUL-terminated text at the start of @data. */
static char *
take_text (const guint8 *data, gsize size, const char *what, GError **error)
{
  const guint8 *end = memchr (data, 0, size);

  if (end == NULL || end == data)
    {
      pv_corrupt (error, "the %s is %s", what, end == NULL ? "not terminated" : "empty");
      return NULL;
    }
  return g_strndup ((const char *) data, end - data);
}

/* @data: header->data_len bytes. */
static PvSaveImage *
parse_data (const Header *header, const guint8 *data, GError **error)
{
  g_autoptr(PvSaveImage) self = g_new0 (PvSaveImage, 1);
  guint32 xml_len = header->cookie_offset > 0 ? header->cookie_offset : header->data_len;

  self->xml = take_text (data, xml_len, "domain XML", error);
  if (self->xml == NULL)
    return NULL;
  if (header->cookie_offset > 0)
    {
      self->cookie = take_text (data + xml_len, header->data_len - xml_len, "cookie", error);
      if (self->cookie == NULL)
        return NULL;
    }
  self->format = header->format;
  self->was_running = header->was_running != 0;
  self->big_endian = header->big_endian;
  self->version = header->version;
  self->stream_offset = PV_SAVE_IMAGE_HEADER_SIZE + (guint64) header->data_len;
  return g_steal_pointer (&self);
}

PvSaveImage *
pv_save_image_parse (const guint8 *data, gsize size, GError **error)
{
  Header header;

  if (size < PV_SAVE_IMAGE_HEADER_SIZE)
    {
      pv_corrupt (error, "not a libvirt save image: only %" G_GSIZE_FORMAT " bytes", size);
      return NULL;
    }
  if (!parse_header (data, &header, error))
    return NULL;
  if (header.data_len > size - PV_SAVE_IMAGE_HEADER_SIZE)
    {
      pv_corrupt (error, "the image ends within its domain XML");
      return NULL;
    }
  return parse_data (&header, data + PV_SAVE_IMAGE_HEADER_SIZE, error);
}

static PvSaveImage *
read_image (int fd, const char *name, GError **error)
{
  guint8 start[PV_SAVE_IMAGE_HEADER_SIZE];
  g_autofree guint8 *data = NULL;
  Header header;
  gssize n = pv_pread_full (fd, start, sizeof start, 0, name, error);

  if (n < 0)
    return NULL;
  if (n < (gssize) sizeof start)
    {
      pv_corrupt (error, "not a libvirt save image: only %" G_GSSIZE_FORMAT " bytes", n);
      return NULL;
    }
  if (!parse_header (start, &header, error))
    return NULL;
  data = g_malloc (header.data_len);
  n = pv_pread_full (fd, data, header.data_len, sizeof start, name, error);
  if (n < 0)
    return NULL;
  if (n < (gssize) header.data_len)
    {
      pv_corrupt (error, "the image ends within its domain XML");
      return NULL;
    }
  return parse_data (&header, data, error);
}

PvSaveImage *
pv_save_image_read (int fd, const char *name, GError **error)
{
  PvSaveImage *self = read_image (fd, name, error);

  if (self == NULL)
    g_prefix_error (error, "%s: ", name);
  return self;
}

PvSaveImage *
pv_save_image_open (const char *path, int *fd_out, GError **error)
{
  g_auto(PvFd) fd = pv_openat (AT_FDCWD, path, O_RDONLY, 0, error);
  PvSaveImage *self;

  if (fd < 0)
    return NULL;
  self = pv_save_image_read (fd, path, error);
  if (self != NULL && fd_out != NULL)
    *fd_out = pv_fd_steal (&fd);
  return self;
}

GBytes *
pv_save_image_compose (const char *xml, const char *cookie, gboolean was_running, PvSaveFormat format, guint align,
                       gboolean complete, GError **error)
{
  gsize xml_size = strlen (xml) + 1, cookie_size = cookie != NULL ? strlen (cookie) + 1 : 0, total;
  GByteArray *out;

  g_return_val_if_fail (align > 0 && align <= ALIGN_MAX && (align & (align - 1)) == 0, NULL);

  if (xml_size > PV_SAVE_IMAGE_DATA_MAX / 2 || cookie_size > PV_SAVE_IMAGE_DATA_MAX / 4)
    {
      pv_throw (error, PV_ERROR_INVALID, "a domain XML of %" G_GSIZE_FORMAT " bytes is too large for a save image",
                xml_size);
      return NULL;
    }
  total = (PV_SAVE_IMAGE_HEADER_SIZE + xml_size + cookie_size + align - 1) & ~(gsize) (align - 1);
  out = g_byte_array_sized_new (total);
  g_byte_array_append (out, (const guint8 *) (complete ? MAGIC_COMPLETE : MAGIC_PARTIAL), MAGIC_SIZE);
  pv_append_le32 (out, VERSION_MAX);
  pv_append_le32 (out, total - PV_SAVE_IMAGE_HEADER_SIZE);
  pv_append_le32 (out, was_running ? 1 : 0);
  pv_append_le32 (out, format);
  pv_append_le32 (out, cookie != NULL ? xml_size : 0);
  pv_append_zeros (out, UNUSED_SIZE);
  g_byte_array_append (out, (const guint8 *) xml, xml_size);
  if (cookie != NULL)
    g_byte_array_append (out, (const guint8 *) cookie, cookie_size);
  pv_append_zeros (out, total - out->len);
  return g_byte_array_free_to_bytes (out);
}

gboolean
pv_save_image_header_write (int fd, const char *name, const char *xml, const char *cookie, gboolean was_running,
                            PvSaveFormat format, guint64 *stream_offset, GError **error)
{
  g_autoptr(GBytes) start = pv_save_image_compose (xml, cookie, was_running, format, 4096, FALSE, error);

  if (start == NULL)
    return FALSE;
  if (stream_offset != NULL)
    *stream_offset = g_bytes_get_size (start);
  return pv_write_all (fd, g_bytes_get_data (start, NULL), g_bytes_get_size (start), name, error);
}

gboolean
pv_save_image_complete (int fd, const char *name, GError **error)
{
  return pv_pwrite_all (fd, MAGIC_COMPLETE, MAGIC_SIZE, SAVE_MAGIC, name, error);
}
