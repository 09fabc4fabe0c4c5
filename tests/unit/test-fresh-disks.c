/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "daemon/fresh-disks.h"

#include <fcntl.h>
#include <unistd.h>

#include "daemon/served-image.h"
#include "guest-fixture.h"
#include "xml/domain-xml.h"

#define XML \
  "<domain type='qemu'><name>guest</name><memory>4096</memory><os><type>hvm</type></os><devices>" \
  "<disk type='file'><driver name='qemu' type='raw'/><source file='%s/vda'/><target dev='vda'/></disk>" \
  "<disk type='file'><driver name='qemu' type='raw'/><source file='%s/vdb'/><target dev='vdb'/></disk>" \
  "</devices></domain>"

/* A snapshot of memory and disk vda; of vdb too, when @both. */
static PvSnapshot *
make_guest (Fixture *f, const char *name, gboolean both)
{
  g_autoptr(PvTxn) txn = begin (f, NULL, 0);
  g_autoptr(PvStreamHead) head = guest_head (PV_CHUNK_SIZE);
  g_autofree char *xml = g_strdup_printf (XML, f->root, f->root);

  g_ptr_array_add (head->blocks, pv_ram_block_new ("pc.ram", MIB, 0));
  finish (add_volume (txn, PV_VOLUME_RAM, "pc.ram", MIB));
  finish (add_volume (txn, PV_VOLUME_DISK, "vda", MIB));
  if (both)
    finish (add_volume (txn, PV_VOLUME_DISK, "vdb", MIB));
  guest_describe (txn, head, xml, "device state", 12);
  return commit (txn, "guest", name);
}

/* (transfer full): what the hook would be told. */
static char *
make (PvFreshDisks *disks, const char *xml, GPtrArray *made, GError **error)
{
  return pv_fresh_disks_make (disks, xml, made, error);
}

static void
overlays (Fixture *f, gconstpointer data)
{
  g_autoptr(PvSnapshot) snapshot = make_guest (f, "one", TRUE);
  g_autoptr(PvFreshDisks) disks = pv_fresh_disks_new (f->store, "/pool", NULL);
  g_autoptr(GPtrArray) made = g_ptr_array_new_with_free_func (g_free);
  g_autoptr(GError) error = NULL;
  g_autofree char *served = pv_served_image_xml (snapshot, &error);
  g_autofree char *text = make (disks, served, made, &error);
  g_autofree char *again = NULL;
  g_autofree char *over = NULL;
  g_autoptr(PvDomainXml) xml = NULL;
  const PvDomainDisk *vda;

  g_assert_no_error (error);
  xml = pv_domain_xml_parse (text, &error);
  vda = pv_domain_xml_find_disk (xml, "vda");
  g_assert_cmpuint (made->len, ==, 2);
  g_assert_cmpstr (vda->path, ==, made->pdata[0]);
  g_assert_cmpstr (vda->format, ==, "qcow2");
  g_assert_cmpstr (vda->backing->pdata[0], ==, "/pool/guest@one.vda.raw");
  g_assert_null (strstr (text, "needs-hook"));
  over = pv_fresh_disks_over (disks, "guest@one");
  g_assert_nonnull (over);
  again = make (disks, served, made, &error);
  g_assert_cmpuint (made->len, ==, 4); /* other files: those that are there are never touched */
  g_assert_cmpstr (made->pdata[0], !=, made->pdata[2]);
}

/* What nobody has written to goes; what somebody has, stays. */
static void
undone (Fixture *f, gconstpointer data)
{
  g_autoptr(PvSnapshot) snapshot = make_guest (f, "one", TRUE);
  g_autoptr(PvFreshDisks) disks = pv_fresh_disks_new (f->store, "/pool", NULL);
  g_autoptr(GPtrArray) made = g_ptr_array_new_with_free_func (g_free);
  g_autoptr(GError) error = NULL;
  g_autofree char *served = pv_served_image_xml (snapshot, &error);
  g_autofree char *text = make (disks, served, made, &error);
  g_auto(PvFd) fd = open (made->pdata[1], O_WRONLY | O_APPEND);

  g_assert_no_error (error);
  g_assert_cmpint (write (fd, "guest", 5), ==, 5);
  pv_fresh_disks_forget (disks, "another", g_get_real_time ());
  pv_fresh_disks_forget (disks, "guest", 1); /* long before */
  g_assert_cmpint (access (made->pdata[0], F_OK), ==, 0);
  pv_fresh_disks_forget (disks, "guest", g_get_real_time () + 1);
  g_assert_cmpint (access (made->pdata[0], F_OK), !=, 0);
  g_assert_cmpint (access (made->pdata[1], F_OK), ==, 0);
  pv_fresh_disks_undo (disks, made);
  g_assert_cmpint (access (made->pdata[1], F_OK), ==, 0);
}

/* Another guest may have been given it: its QEMU has it open, and locked. */
static void
in_use (Fixture *f, gconstpointer data)
{
  g_autoptr(PvSnapshot) snapshot = make_guest (f, "one", TRUE);
  g_autoptr(PvFreshDisks) disks = pv_fresh_disks_new (f->store, "/pool", NULL);
  g_autoptr(GPtrArray) made = g_ptr_array_new_with_free_func (g_free);
  g_autoptr(GError) error = NULL;
  g_autofree char *served = pv_served_image_xml (snapshot, &error);
  g_autofree char *text = make (disks, served, made, &error);
  struct flock lock = { .l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = 100, .l_len = 1 };
  g_auto(PvFd) fd = open (made->pdata[0], O_RDONLY);

  g_assert_cmpint (fcntl (fd, F_OFD_SETLK, &lock), ==, 0);
  pv_fresh_disks_undo (disks, made);
  g_assert_cmpint (access (made->pdata[0], F_OK), ==, 0);
  g_assert_cmpint (access (made->pdata[1], F_OK), !=, 0);
  pv_fd_clear (&fd);
  pv_fresh_disks_undo (disks, made);
  g_assert_cmpint (access (made->pdata[0], F_OK), !=, 0);
}

static void
refused (Fixture *f, gconstpointer data)
{
  g_autoptr(PvSnapshot) half = make_guest (f, "half", FALSE);
  g_autoptr(PvFreshDisks) disks = pv_fresh_disks_new (f->store, "/pool", NULL);
  g_autoptr(GPtrArray) made = g_ptr_array_new_with_free_func (g_free);
  g_autoptr(GError) error = NULL;
  g_autofree char *served = pv_served_image_xml (half, &error);
  g_autoptr(PvSnapshot) other = NULL;

  g_assert_no_error (error);
  g_assert_null (make (disks, served, made, &error)); /* it has no vdb */
  g_assert_error (error, PV_ERROR, PV_ERROR_UNSUPPORTED);
  g_clear_error (&error);
  pv_fresh_disks_undo (disks, made);
  g_assert_true (pv_store_delete (f->store, "guest", "half", &error));
  g_assert_null (make (disks, served, made, &error));
  g_assert_error (error, PV_ERROR, PV_ERROR_NOT_FOUND);
  g_clear_error (&error);
  other = make_guest (f, "half", TRUE); /* another one of the same name */
  g_assert_null (make (disks, served, made, &error));
  g_assert_error (error, PV_ERROR, PV_ERROR_NOT_FOUND);
  g_clear_error (&error);
  g_assert_null (make (disks, "no description", made, &error));
  g_assert_error (error, PV_ERROR, PV_ERROR_INVALID);
}

/* A description that has nothing to do with the store, and one with the guest's own disks. */
static void
others (Fixture *f, gconstpointer data)
{
  g_autoptr(PvSnapshot) snapshot = make_guest (f, "one", TRUE);
  g_autoptr(PvFreshDisks) disks = pv_fresh_disks_new (f->store, "/pool", NULL);
  g_autoptr(GPtrArray) made = g_ptr_array_new_with_free_func (g_free);
  g_autofree char *own = g_strdup_printf (XML, f->root, f->root);
  g_autofree char *elsewhere = g_strdup_printf (XML, "/elsewhere", "/elsewhere");
  g_autoptr(GError) error = NULL;

  g_assert_null (make (disks, own, made, &error));
  g_assert_no_error (error);
  g_assert_cmpuint (made->len, ==, 0);
  g_assert_false (pv_fresh_disks_check_own (disks, snapshot, own, &error));
  g_assert_error (error, PV_ERROR, PV_ERROR_BUSY);
  g_clear_error (&error);
  g_assert_true (pv_fresh_disks_check_own (disks, snapshot, elsewhere, &error));
  g_assert_no_error (error);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add ("/fresh-disks/overlays", Fixture, NULL, fixture_setup, overlays, fixture_teardown);
  g_test_add ("/fresh-disks/undone", Fixture, NULL, fixture_setup, undone, fixture_teardown);
  g_test_add ("/fresh-disks/in-use", Fixture, NULL, fixture_setup, in_use, fixture_teardown);
  g_test_add ("/fresh-disks/refused", Fixture, NULL, fixture_setup, refused, fixture_teardown);
  g_test_add ("/fresh-disks/others", Fixture, NULL, fixture_setup, others, fixture_teardown);
  return g_test_run ();
}
