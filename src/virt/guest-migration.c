/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "virt/guest-migration.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>

#include "util/error.h"
#include "util/file.h"
#include "virt/guest-private.h"

#define OPAQUE "pagevault-migration" /* what the descriptor is called */

/* An empty VirtualBox image, version 1.1: what QEMU's block/vdi.c looks at; all else is zero. Offsets in bytes. */
enum
{
  VDI_SIGNATURE = 0x40,
  VDI_VERSION = 0x44,
  VDI_HEADER_SIZE = 0x48,
  VDI_TYPE = 0x4c,
  VDI_BMAP = 0x154,        /* where the table of blocks is */
  VDI_DATA = 0x158,        /* where the first block would be */
  VDI_SECTOR_SIZE = 0x168,
  VDI_DISK_SIZE = 0x170,   /* 64 bits */
  VDI_BLOCK_SIZE = 0x178,
  VDI_BLOCKS = 0x180,      /* number of blocks */

  SECTOR = 512,
  BMAP_AT = SECTOR,
  DATA_AT = 2 * SECTOR,
  IMAGE_SIZE = 4 * SECTOR,
  BLOCK = 1 << 20,
  DYNAMIC = 1,
};

#define SIGNATURE 0xbeda107fu
#define VERSION 0x00010001u
#define UNALLOCATED 0xffffffffu

static void
put (guint8 *image, gsize at, guint32 value)
{
  guint32 le = GUINT32_TO_LE (value);

  memcpy (image + at, &le, sizeof le);
}

static void
make_image (guint8 *image)
{
  memset (image, 0, IMAGE_SIZE);
  put (image, VDI_SIGNATURE, SIGNATURE);
  put (image, VDI_VERSION, VERSION);
  put (image, VDI_HEADER_SIZE, 0x180);
  put (image, VDI_TYPE, DYNAMIC);
  put (image, VDI_BMAP, BMAP_AT);
  put (image, VDI_DATA, DATA_AT);
  put (image, VDI_SECTOR_SIZE, SECTOR);
  put (image, VDI_DISK_SIZE, BLOCK);
  put (image, VDI_BLOCK_SIZE, BLOCK);
  put (image, VDI_BLOCKS, 1);
  put (image, BMAP_AT, UNALLOCATED);
}

/* The image in memory, open for reading: QEMU takes a descriptor only for what it was opened for. -1 on error. */
static int
open_image (GError **error)
{
  guint8 image[IMAGE_SIZE];
  g_auto(PvFd) memory = memfd_create (OPAQUE, MFD_CLOEXEC);

  if (memory < 0)
    {
      pv_throw_errno (error, errno, "cannot make a file in memory");
      return -1;
    }
  make_image (image);
  return pv_write_all (memory, image, sizeof image, OPAQUE, error) ? pv_reopen (memory, O_RDONLY, error) : -1;
}

static gboolean
add_node (PvGuest *self, const char *node, gint64 set, GError **error)
{
  g_autoptr(JsonObject) arguments = json_object_new ();
  g_autofree char *filename = g_strdup_printf ("/dev/fdset/%" G_GINT64_FORMAT, set);
  JsonObject *file = json_object_new ();
  g_autoptr(JsonNode) reply = NULL;

  json_object_set_string_member (arguments, "node-name", node);
  json_object_set_string_member (arguments, "driver", "vdi");
  json_object_set_boolean_member (arguments, "read-only", TRUE);
  json_object_set_object_member (arguments, "file", file);
  json_object_set_string_member (file, "driver", "file");
  json_object_set_string_member (file, "filename", filename);
  json_object_set_boolean_member (file, "read-only", TRUE);
  reply = pv_guest_qmp (self, "blockdev-add", arguments, error);
  return reply != NULL;
}

gboolean
pv_guest_forbid_migration (PvGuest *self, const char *node, GError **error)
{
  g_auto(PvFd) image = open_image (error);
  gboolean ok;
  gint64 set;

  g_return_val_if_fail (strlen (node) <= PV_GUEST_NODE_NAME_MAX, FALSE);

  if (image < 0 || !pv_guest_give_fd (self, image, OPAQUE, &set, error))
    return FALSE;
  ok = add_node (self, node, set, error);
  pv_guest_take_fd_back (self, set);
  return ok;
}

gboolean
pv_guest_allow_migration (PvGuest *self, const char *node, GError **error)
{
  return pv_guest_delete_node (self, node, error);
}

gboolean
pv_guest_forbid_internal_snapshots (PvGuest *self, const char *node, GError **error)
{
  g_autoptr(JsonObject) arguments = json_object_new ();
  g_autoptr(JsonNode) reply = NULL;

  g_return_val_if_fail (strlen (node) <= PV_GUEST_NODE_NAME_MAX, FALSE);

  json_object_set_string_member (arguments, "node-name", node);
  json_object_set_string_member (arguments, "driver", "null-co");
  reply = pv_guest_qmp (self, "blockdev-add", arguments, error);
  return reply != NULL;
}
