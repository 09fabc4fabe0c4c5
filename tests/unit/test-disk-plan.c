/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "capture/disk-plan.h"

#include <string.h>

#include "run-command.h"
#include "util/error.h"
#include "util/file.h"

typedef struct
{
  char *directory;          /* (owned): where disks and overlays lie */
  PvCaptureOptions options; /* (owned) */
} Fixture;

static void
set_up (Fixture *self, gconstpointer data)
{
  g_autoptr(GError) error = NULL;

  self->directory = g_dir_make_tmp ("pagevault-test-XXXXXX", &error);
  g_assert_no_error (error);
  pv_capture_options_init (&self->options);
}

static void
tear_down (Fixture *self, gconstpointer data)
{
  pv_capture_options_clear (&self->options);
  pv_remove_tree (self->directory, NULL);
  g_free (self->directory);
}

/* (transfer full): a domain with the disks in @disks, where DIR stands for the fixture's directory. */
static PvDomainXml *
domain_with (Fixture *self, const char *disks)
{
  g_autoptr(GError) error = NULL;
  g_auto(GStrv) parts = g_strsplit (disks, "DIR", -1);
  g_autofree char *placed = g_strjoinv (self->directory, parts);
  g_autofree char *xml = g_strdup_printf ("<domain type='kvm'><name>web1</name><memory>1</memory><os>"
                                          "<type>hvm</type></os><devices>%s</devices></domain>",
                                          placed);
  PvDomainXml *domain = pv_domain_xml_parse (xml, &error);

  g_assert_no_error (error);
  return domain;
}

#define DISK(target, file, more)                                                                                       \
  "<disk type='file' device='disk'><driver type='qcow2'/><source file='" file "'/><target dev='" target "'/>" more     \
  "</disk>"

static void
ask_for (Fixture *self, const char *diskspec)
{
  g_autoptr(GError) error = NULL;
  PvDiskSpec *spec = pv_disk_spec_parse (diskspec, &error);

  g_assert_no_error (error);
  g_ptr_array_add (self->options.disks, spec);
}

static PvDiskPlan *
plan (Fixture *self, PvDomainXml *domain, GError **error)
{
  return pv_disk_plan_new (domain, &self->options, "tag", TRUE, error);
}

static const PvDiskPlanEntry *
entry (PvDiskPlan *made, const char *target)
{
  for (guint i = 0; i < made->entries->len; i++)
    {
      const PvDiskPlanEntry *one = made->entries->pdata[i];

      if (g_str_equal (one->target, target))
        return one;
    }
  g_assert_not_reached ();
}

static void
assert_overlay (Fixture *self, PvDiskPlan *made, const char *target, const char *name)
{
  g_autofree char *path = name != NULL ? g_build_filename (self->directory, name, NULL) : NULL;

  g_assert_cmpstr (entry (made, target)->overlay, ==, path);
  g_assert_cmpint (entry (made, target)->taken, ==, name != NULL);
}

static void
assert_refused (Fixture *self, const char *disks, PvError code, const char *words)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(PvDomainXml) domain = domain_with (self, disks);

  g_assert_null (plan (self, domain, &error));
  g_assert_error (error, PV_ERROR, (int) code);
  if (strstr (error->message, words) == NULL)
    g_error ("'%s' does not tell '%s'", error->message, words);
}

/* Everything that can be written to takes part; the overlays lie beside the disks. */
static void
test_chosen (Fixture *self, gconstpointer data)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(PvDomainXml) domain = domain_with (
      self, DISK ("vda", "DIR/a.img", "") DISK ("vdb", "DIR/b.img", "<readonly/>")
                "<disk type='file' device='cdrom'><source file='DIR/c.iso'/><target dev='hda'/><readonly/></disk>"
                "<disk type='file' device='floppy'><target dev='fda'/></disk>"
                "<disk type='file' snapshot='no'><source file='DIR/d.img'/><target dev='vdd'/></disk>"
                "<disk type='network'><source protocol='nbd' name='x'/><target dev='vde'/></disk>");
  g_autoptr(PvDiskPlan) made = NULL;
  g_autofree char *xml = NULL;

  ask_for (self, "vde,snapshot=no");
  made = plan (self, domain, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (pv_disk_plan_n_taken (made), ==, 1);
  assert_overlay (self, made, "vda", "a.img.tag");
  assert_overlay (self, made, "vdb", NULL);
  assert_overlay (self, made, "hda", NULL);
  assert_overlay (self, made, "fda", NULL);
  assert_overlay (self, made, "vdd", NULL);
  assert_overlay (self, made, "vde", NULL);

  /* all of them are in libvirt's document: one left out would get an overlay of libvirt's own making */
  xml = pv_disk_plan_snapshot_xml (made, "name");
  for (guint i = 0; i < made->entries->len; i++)
    g_assert_nonnull (strstr (xml, ((PvDiskPlanEntry *) made->entries->pdata[i])->target));
}

/* What the user asks for comes before the description's snapshot attribute, in both directions. */
static void
test_asked_for (Fixture *self, gconstpointer data)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(PvDomainXml) domain = domain_with (
      self, DISK ("vda", "DIR/a.img", "") "<disk type='file' snapshot='no'><source file='DIR/b.img'/>"
                                          "<target dev='vdb'/></disk>" DISK ("vdc", "DIR/c.img", ""));
  g_autofree char *by_path = g_build_filename (self->directory, "c.img", NULL);
  g_autofree char *file = g_build_filename (self->directory, "x", NULL);
  g_autofree char *with_file = g_strconcat (by_path, ",file=", file, NULL);
  g_autoptr(PvDiskPlan) made = NULL;

  ask_for (self, "vda,snapshot=no");
  ask_for (self, "vdb,snapshot=external");
  ask_for (self, with_file);
  made = plan (self, domain, &error);
  g_assert_no_error (error);
  assert_overlay (self, made, "vda", NULL);
  assert_overlay (self, made, "vdb", "b.img.tag");
  assert_overlay (self, made, "vdc", "x");
}

static void
test_no_disks (Fixture *self, gconstpointer data)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(PvDomainXml) domain = domain_with (self, DISK ("vda", "DIR/a.img", ""));
  g_autoptr(PvDiskPlan) made = NULL;

  self->options.no_disks = TRUE;
  made = plan (self, domain, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (pv_disk_plan_n_taken (made), ==, 0);
}

/* A domain that is off needs no overlays, and no place for them. */
static void
test_off (Fixture *self, gconstpointer data)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(PvDomainXml) domain = domain_with (self, DISK ("vda", "/nowhere/a.img", ""));
  g_autoptr(PvDiskPlan) made = pv_disk_plan_new (domain, &self->options, "", FALSE, &error);

  g_assert_no_error (error);
  g_assert_true (entry (made, "vda")->taken);
  g_assert_null (entry (made, "vda")->overlay);
}

/* Names of overlays upon overlays do not grow, and those of two disks do not meet. */
static void
test_names (Fixture *self, gconstpointer data)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(PvDomainXml) domain = domain_with (
      self, DISK ("vda", "DIR/a.img.two",
                  "<backingStore type='file'><source file='DIR/a.img.one'/><backingStore type='file'>"
                  "<source file='DIR/a.img'/><backingStore/></backingStore></backingStore>")
                DISK ("vdb", "DIR/other.img",
                      "<backingStore type='file'><source file='DIR/oth'/><backingStore/></backingStore>")
                    DISK ("vdc", "/somewhere/disk.img", "") DISK ("vdd", "/elsewhere/disk.img", ""));
  g_autoptr(PvDiskPlan) made = NULL;

  self->options.overlay_dir = g_strdup (self->directory);
  made = plan (self, domain, &error);
  g_assert_no_error (error);
  assert_overlay (self, made, "vda", "a.img.tag");
  assert_overlay (self, made, "vdb", "other.img.tag");
  assert_overlay (self, made, "vdc", "disk.img.tag");
  assert_overlay (self, made, "vdd", "disk.img.vdd.tag");
  g_assert_cmpuint (entry (made, "vda")->backing->len, ==, 2);
}

/* As libvirt's virDomainSnapshotAlignDisks() makes them; but two that meet are kept apart, where libvirt refuses. */
static void
test_libvirt_names (Fixture *self, gconstpointer data)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(PvDomainXml) domain = domain_with (
      self, DISK ("vda", "DIR/a.one", "<backingStore type='file'><source file='DIR/a.qcow2'/><backingStore/>"
                                      "</backingStore>")
                DISK ("vdb", "DIR/b.vdb.qcow2", "") DISK ("vdc", "DIR/plain", "") DISK ("vdd", "DIR/plain.raw", ""));
  g_autoptr(PvDiskPlan) made = NULL;

  self->options.libvirt_names = TRUE;
  made = plan (self, domain, &error);
  g_assert_no_error (error);
  assert_overlay (self, made, "vda", "a.tag");
  assert_overlay (self, made, "vdb", "b.vdb.tag");
  assert_overlay (self, made, "vdc", "plain.tag");
  assert_overlay (self, made, "vdd", "plain.vdd.tag");
}

static void
test_refused (Fixture *self, gconstpointer data)
{
  assert_refused (self, "<disk type='network'><source protocol='rbd' name='p/i'/><target dev='vda'/></disk>",
                  PV_ERROR_UNSUPPORTED, "--diskspec vda,snapshot=no");
  assert_refused (self, DISK ("vda", "DIR/a.img", "<shareable/>"), PV_ERROR_UNSUPPORTED, "shared with other guests");
  assert_refused (self, DISK ("vda", "DIR/a.img", "<transient/>"), PV_ERROR_UNSUPPORTED, "transient");
  assert_refused (self, DISK ("vda", "/nowhere/a.img", ""), PV_ERROR_NOT_FOUND, "--overlay-dir");
}

static void
test_wrongly_asked_for (Fixture *self, gconstpointer data)
{
  g_autofree char *there = g_build_filename (self->directory, "there", NULL);
  g_autofree char *spec = g_strconcat ("vda,file=", there, NULL);
  g_autofree char *again = g_strconcat ("vdb,file=", there, NULL);
  const char *two = DISK ("vda", "DIR/a.img", "") DISK ("vdb", "DIR/b.img", "");

  ask_for (self, "vdz");
  assert_refused (self, two, PV_ERROR_INVALID, "no disk 'vdz'");
  g_ptr_array_set_size (self->options.disks, 0);

  ask_for (self, "vda");
  ask_for (self, "vda,snapshot=no");
  assert_refused (self, two, PV_ERROR_INVALID, "'vda' is named twice");
  g_ptr_array_set_size (self->options.disks, 0);

  ask_for (self, "hda");
  assert_refused (self, "<disk type='file' device='cdrom'><target dev='hda'/></disk>", PV_ERROR_UNSUPPORTED,
                  "read-only or removable");
  g_ptr_array_set_size (self->options.disks, 0);

  ask_for (self, spec);
  ask_for (self, again);
  assert_refused (self, two, PV_ERROR_INVALID, "another disk has the overlay");
  g_assert_true (g_file_set_contents (there, "x", -1, NULL));
  assert_refused (self, two, PV_ERROR_EXISTS, "exists already");
}

#define CHAIN                                                                                                          \
  DISK ("vda", "DIR/top",                                                                                              \
        "<backingStore type='file'><format type='qcow2'/><source file='DIR/link/middle'/>"                             \
        "<backingStore type='file'><format type='raw'/><source file='DIR/base'/><backingStore/></backingStore>"        \
        "</backingStore>")

/* What is read from outside must be what the guest has: layers are compared, by whatever path. */
static void
test_chain (Fixture *self, gconstpointer data)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(PvDomainXml) domain = domain_with (self, CHAIN);
  g_autoptr(PvDiskPlan) made = NULL;
  g_autoptr(PvDiskPlan) off = NULL;
  guint64 total;

  run_command (self->directory, "ln -s DIR DIR/link");
  run_command (self->directory, "qemu-img create -q -f raw DIR/base 3M");
  run_command (self->directory, "qemu-img create -q -f qcow2 -b DIR/base -F raw DIR/middle 4M");
  run_command (self->directory, "qemu-img create -q -f qcow2 -b middle -F qcow2 DIR/top 5M");
  made = plan (self, domain, &error);
  g_assert_no_error (error);
  g_assert_true (pv_disk_plan_measure (made, &total, &error));
  g_assert_no_error (error);
  g_assert_cmpuint (total, ==, 5 << 20);
  g_assert_cmpuint (entry (made, "vda")->size, ==, 5 << 20);

  run_command (self->directory, "cp DIR/base DIR/other");
  run_command (self->directory, "qemu-img rebase -u -b DIR/other -F raw DIR/middle");
  g_assert_false (pv_disk_plan_measure (made, &total, &error));
  g_assert_error (error, PV_ERROR, PV_ERROR_UNSUPPORTED);
  g_assert_nonnull (strstr (error->message, "disk vda: "));
  g_assert_nonnull (strstr (error->message, "names other layers below it"));
  g_clear_error (&error);
  run_command (self->directory, "qemu-img rebase -u -b '' DIR/middle");
  g_assert_false (pv_disk_plan_measure (made, &total, &error));
  g_assert_error (error, PV_ERROR, PV_ERROR_UNSUPPORTED);
  g_clear_error (&error);

  /* of a domain that is off the images alone know */
  off = pv_disk_plan_new (domain, &self->options, "", FALSE, &error);
  g_assert_no_error (error);
  g_assert_true (pv_disk_plan_measure (off, &total, &error));
  run_command (self->directory, "rm DIR/middle");
  g_assert_false (pv_disk_plan_measure (off, &total, &error));
  g_assert_error (error, PV_ERROR, PV_ERROR_FAILED);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add ("/disk-plan/chosen", Fixture, NULL, set_up, test_chosen, tear_down);
  g_test_add ("/disk-plan/asked-for", Fixture, NULL, set_up, test_asked_for, tear_down);
  g_test_add ("/disk-plan/no-disks", Fixture, NULL, set_up, test_no_disks, tear_down);
  g_test_add ("/disk-plan/off", Fixture, NULL, set_up, test_off, tear_down);
  g_test_add ("/disk-plan/names", Fixture, NULL, set_up, test_names, tear_down);
  g_test_add ("/disk-plan/libvirt-names", Fixture, NULL, set_up, test_libvirt_names, tear_down);
  g_test_add ("/disk-plan/refused", Fixture, NULL, set_up, test_refused, tear_down);
  g_test_add ("/disk-plan/wrongly-asked-for", Fixture, NULL, set_up, test_wrongly_asked_for, tear_down);
  g_test_add ("/disk-plan/chain", Fixture, NULL, set_up, test_chain, tear_down);
  return g_test_run ();
}
