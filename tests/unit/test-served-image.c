/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "daemon/served-image.h"

#include "guest-fixture.h"
#include "xml/domain-xml.h"
#include "xml/restore-path.h"

#define XML \
  "<domain type='qemu'><name>guest</name><memory>4096</memory><os><type>hvm</type>" \
  "<nvram>/var/lib/libvirt/qemu/nvram/guest_VARS.fd</nvram></os><devices>" \
  "<disk type='file'><driver name='qemu' type='raw'/><source file='/disks/a'/><target dev='vda'/></disk>" \
  "<disk type='block'><driver name='qemu' type='raw'/><source dev='/dev/b'/><target dev='vdb'/></disk>" \
  "<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='/disks/c'/>" \
  "<backingStore type='file'><format type='raw'/><source file='/disks/base'/></backingStore>" \
  "<target dev='vdc'/></disk>" \
  "<disk type='file' device='disk'><source file='/disks/d'/><target dev='vdd'/><readonly/></disk>" \
  "<disk type='file' device='cdrom'><target dev='sda'/><readonly/></disk>" \
  "</devices></domain>"

static PvSnapshot *
make_guest (Fixture *f, const char *name)
{
  g_autoptr(PvTxn) txn = begin (f, NULL, 0);
  g_autoptr(PvStreamHead) head = guest_head (PV_CHUNK_SIZE);
  g_autoptr(GBytes) nvram = g_bytes_new_static ("variables", 9);
  g_autoptr(GError) error = NULL;

  g_ptr_array_add (head->blocks, pv_ram_block_new ("pc.ram", 4 * MIB, 0));
  finish (add_volume (txn, PV_VOLUME_RAM, "pc.ram", 4 * MIB));
  finish (add_volume (txn, PV_VOLUME_DISK, "vda", MIB));
  finish (add_volume (txn, PV_VOLUME_DISK, "vdb", MIB));
  guest_describe (txn, head, XML, "device state", 12);
  g_assert_true (pv_txn_add_blob (txn, PV_BLOB_NVRAM, nvram, &error));
  return commit (txn, "guest", name);
}

static void
assert_nowhere (PvDomainXml *xml, const char *target)
{
  g_autofree char *full = NULL;
  g_autofree char *of = NULL;

  g_assert_true (pv_restore_path_parse (pv_domain_xml_find_disk (xml, target)->path, NULL, &full, &of));
  g_assert_cmpstr (full, ==, "guest@one");
  g_assert_cmpstr (of, ==, target);
}

/* Whatever a guest can write leads nowhere: the disks that were taken, and those that were not. */
static void
description (Fixture *f, gconstpointer data)
{
  g_autoptr(PvSnapshot) snapshot = make_guest (f, "one");
  g_autoptr(GError) error = NULL;
  g_autofree char *text = pv_served_image_xml (snapshot, &error);
  g_autoptr(PvDomainXml) xml = pv_domain_xml_parse (text, &error);

  g_assert_no_error (error);
  assert_nowhere (xml, "vda");
  assert_nowhere (xml, "vdb");
  assert_nowhere (xml, "vdc");
  g_assert_cmpstr (pv_domain_xml_find_disk (xml, "vdd")->path, ==, "/disks/d");
  g_assert_null (pv_domain_xml_find_disk (xml, "sda")->path);
  g_assert_true (pv_restore_path_parse (pv_domain_xml_nvram (xml), NULL, NULL, NULL));
  g_assert_null (strstr (text, "/disks/base"));
}

static void
sizes (Fixture *f, gconstpointer data)
{
  g_autoptr(PvServedImages) images = pv_served_images_new (f->store);

  for (guint i = 0; i < 40; i++) /* more than are kept, and each twice */
    {
      g_autofree char *name = g_strdup_printf ("n%u", i % 20);
      g_autoptr(GError) error = NULL;
      g_autoptr(PvSnapshot) snapshot = i < 20 ? make_guest (f, name)
                                              : pv_store_lookup (f->store, "guest", name, &error);
      g_autoptr(PvMemoryView) view = pv_served_images_view (images, snapshot, &error);
      guint64 size = 0;

      g_assert_no_error (error);
      g_assert_true (pv_served_images_can (snapshot));
      g_assert_true (pv_served_images_size (images, snapshot, &size, &error));
      g_assert_cmpuint (size, ==, pv_memory_view_size (view));
    }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add ("/served-image/description", Fixture, NULL, fixture_setup, description, fixture_teardown);
  g_test_add ("/served-image/sizes", Fixture, NULL, fixture_setup, sizes, fixture_teardown);
  return g_test_run ();
}
