/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Devices that stand in the way of a snapshot with memory: somebody other than QEMU's own threads and the kernel on
 * their behalf writes guest memory (no write protection or dirty tracking of QEMU's address space sees it: the snapshot
 * would be silently torn), or a part of the guest's state is kept where no QEMU stream brings it.
 *
 * What is fine and therefore not listed: kernel vhost (its writes go through QEMU's page tables), USB host devices
 * (QEMU copies their data; after a restore the guest sees them plugged in anew), swtpm (its state is in QEMU's stream),
 * virtio-mem and DIMMs. A mounted 9p share is refused by QEMU itself (query-migrate, blocked-reasons).
 */
#include "config.h"

#include <string.h>

#include "xml/domain-xml-private.h"

#define DETACH "detach it (virsh detach-device) or take a snapshot without memory (--disk-only)"

/* (transfer full): how the user finds the device: "(alias hostdev0)", or nothing. */
static char *
alias_of (xmlNode *node)
{
  g_autofree char *alias = pv_xml_attr (pv_xml_child (node, "alias"), "name");

  return alias != NULL ? g_strdup_printf (" (alias %s)", alias) : g_strdup ("");
}

static void
add (GPtrArray *out, xmlNode *node, const char *subject, const char *reason, const char *cure)
{
  g_autofree char *alias = alias_of (node);

  g_ptr_array_add (out, g_strdup_printf ("%s%s %s: %s", subject, alias, reason, cure));
}

static guint64
address_part (xmlNode *address, const char *name)
{
  g_autofree char *text = pv_xml_attr (address, name);

  return text != NULL ? g_ascii_strtoull (text, NULL, 0) : 0;
}

static char *
pci_address (xmlNode *address)
{
  return g_strdup_printf ("%04x:%02x:%02x.%x", (guint) address_part (address, "domain"),
                          (guint) address_part (address, "bus"), (guint) address_part (address, "slot"),
                          (guint) address_part (address, "function"));
}

static void
check_hostdev (GPtrArray *out, xmlNode *node)
{
  g_autofree char *type = pv_xml_attr (node, "type");
  g_autofree char *mode = pv_xml_attr (node, "mode");
  xmlNode *source = pv_xml_child (node, "source");
  xmlNode *address = pv_xml_child (source, "address");
  g_autofree char *subject = NULL;

  if (g_strcmp0 (mode, "capabilities") == 0)
    add (out, node, "a host device given by mode='capabilities'", "has its state outside QEMU", DETACH);
  else if (g_strcmp0 (type, "pci") == 0)
    {
      g_autofree char *name = pci_address (address);

      subject = g_strdup_printf ("host PCI device %s", name);
      add (out, node, subject, "writes guest memory by DMA (VFIO), which no tracking sees", DETACH);
    }
  else if (g_strcmp0 (type, "mdev") == 0)
    {
      g_autofree char *uuid = pv_xml_attr (address, "uuid");

      subject = g_strdup_printf ("mediated host device %s", uuid != NULL ? uuid : "?");
      add (out, node, subject, "writes guest memory by DMA (VFIO), which no tracking sees", DETACH);
    }
  else if (g_strcmp0 (type, "scsi") == 0)
    {
      g_autofree char *adapter = pv_xml_attr (pv_xml_child (source, "adapter"), "name");

      subject = g_strdup_printf ("host SCSI device on %s", adapter != NULL ? adapter : "iSCSI");
      add (out, node, subject, "keeps its state and its data in the host's device, which cannot be frozen", DETACH);
    }
  else if (g_strcmp0 (type, "scsi_host") == 0)
    {
      g_autofree char *wwpn = pv_xml_attr (source, "wwpn");

      subject = g_strdup_printf ("vhost-scsi host adapter %s", wwpn != NULL ? wwpn : "?");
      add (out, node, subject, "keeps its requests and its data in the host, where they cannot be frozen", DETACH);
    }
  else if (g_strcmp0 (type, "usb") != 0)
    {
      subject = g_strdup_printf ("host device of type '%s'", type != NULL ? type : "?");
      add (out, node, subject, "is not known to be trackable", DETACH);
    }
}

static void
check_interface (GPtrArray *out, xmlNode *node)
{
  g_autofree char *type = pv_xml_attr (node, "type");
  g_autofree char *mac = pv_xml_attr (pv_xml_child (node, "mac"), "address");
  g_autofree char *subject = NULL;

  if (g_strcmp0 (type, "vhostuser") == 0)
    {
      subject = g_strdup_printf ("vhost-user network interface %s", mac != NULL ? mac : "?");
      add (out, node, subject, "is served by another process that writes guest memory unseen", DETACH);
    }
  else if (g_strcmp0 (type, "vdpa") == 0)
    {
      subject = g_strdup_printf ("vDPA network interface %s", mac != NULL ? mac : "?");
      add (out, node, subject, "writes guest memory by DMA, which no tracking sees", DETACH);
    }
  else if (g_strcmp0 (type, "hostdev") == 0)
    {
      subject = g_strdup_printf ("passed through network interface %s", mac != NULL ? mac : "?");
      add (out, node, subject, "writes guest memory by DMA (VFIO), which no tracking sees", DETACH);
    }
}

static void
check_disk (GPtrArray *out, xmlNode *node)
{
  g_autofree char *type = pv_xml_attr (node, "type");
  g_autofree char *target = pv_xml_attr (pv_xml_child (node, "target"), "dev");
  g_autofree char *subject = g_strdup_printf ("disk %s of type '%s'", target, type != NULL ? type : "file");

  if (g_strcmp0 (type, "vhostuser") == 0)
    add (out, node, subject, "is served by another process that writes guest memory unseen", DETACH);
  else if (g_strcmp0 (type, "vhostvdpa") == 0)
    add (out, node, subject, "writes guest memory by DMA, which no tracking sees", DETACH);
  else if (g_strcmp0 (type, "nvme") == 0)
    add (out, node, subject, "is driven through VFIO and writes guest memory by DMA, which no tracking sees", DETACH);
}

static void
check_filesystem (GPtrArray *out, xmlNode *node)
{
  g_autofree char *driver = pv_xml_attr (pv_xml_child (node, "driver"), "type");
  g_autofree char *target = pv_xml_attr (pv_xml_child (node, "target"), "dir");
  g_autofree char *subject = NULL;

  if (g_strcmp0 (driver, "virtiofs") != 0)
    return;
  subject = g_strdup_printf ("virtiofs file system '%s'", target != NULL ? target : "?");
  add (out, node, subject,
       "is served by virtiofsd, which writes guest memory unseen and keeps the open files to itself",
       "unmount it in the guest and detach it, or take a snapshot without memory (--disk-only)");
}

static void
check_shmem (GPtrArray *out, xmlNode *node)
{
  g_autofree char *name = pv_xml_attr (node, "name");
  g_autofree char *subject = g_strdup_printf ("shared memory device '%s'", name != NULL ? name : "?");

  add (out, node, subject, "is memory that other processes write unseen", DETACH);
}

static void
check_tpm (GPtrArray *out, xmlNode *node)
{
  xmlNode *backend = pv_xml_child (node, "backend");
  g_autofree char *device = pv_xml_attr (pv_xml_child (backend, "device"), "path");
  g_autofree char *subject = NULL;

  if (!pv_xml_attr_is (backend, "type", "passthrough"))
    return;
  subject = g_strdup_printf ("TPM passed through from %s", device != NULL ? device : "/dev/tpm0");
  add (out, node, subject, "keeps its state in the host's chip",
       "use <backend type='emulator'/>, or take a snapshot without memory (--disk-only)");
}

static void
check_memory_device (GPtrArray *out, xmlNode *node)
{
  g_autofree char *model = pv_xml_attr (node, "model");
  g_autofree char *path = pv_xml_text (pv_xml_descend (node, "source", "path", NULL));
  g_autofree char *subject = NULL;

  if (g_strcmp0 (model, "nvdimm") == 0 || g_strcmp0 (model, "virtio-pmem") == 0)
    {
      subject = g_strdup_printf ("memory device of model '%s' on %s", model, path != NULL ? path : "?");
      add (out, node, subject, "is a file of the host that a restore would overwrite", DETACH);
    }
  else if (g_strcmp0 (model, "sgx-epc") == 0)
    add (out, node, "SGX memory device", "is encrypted by the processor and can be read by nobody",
         "take a snapshot without memory (--disk-only)");
}

static void
check_video (GPtrArray *out, xmlNode *node)
{
  xmlNode *model = pv_xml_child (node, "model");

  if (pv_xml_attr_is (pv_xml_child (node, "driver"), "name", "vhostuser"))
    add (out, node, "vhost-user video device", "is served by another process that writes guest memory unseen",
         "use <driver name='qemu'/>, or take a snapshot without memory (--disk-only)");
  else if (pv_xml_attr_is (pv_xml_child (model, "acceleration"), "accel3d", "yes"))
    add (out, node, "video device with 3D acceleration", "keeps its state in the host's graphics driver",
         "set accel3d='no', or take a snapshot without memory (--disk-only)");
}

/* -device vfio-pci,… and its like in <qemu:commandline>. */
static void
check_arguments (GPtrArray *out, PvDomainXml *self)
{
  static const char *const carriers[] = { "device", "netdev", "blockdev", "drive", "object", NULL };
  static const char *const signs[] = { "vfio",        "vhost-user", "vhost-vdpa", "ivshmem",          "nvme-io_uring",
                                       "driver=nvme", "\"nvme\"",   "x-remote",   "virtio-blk-vhost", NULL };
  g_autoptr(GPtrArray) arguments = pv_domain_xml_qemu_arguments (self, NULL);

  for (guint i = 0; i + 1 < arguments->len; i++)
    {
      const char *option = arguments->pdata[i];
      const char *value = arguments->pdata[i + 1];
      const char *name = option + strspn (option, "-");

      if (!pv_qemu_option_has_value (option))
        continue;
      i++;
      if (!g_strv_contains (carriers, name))
        continue;
      for (guint sign = 0; signs[sign] != NULL; sign++)
        if (strstr (value, signs[sign]) != NULL)
          {
            g_ptr_array_add (out, g_strdup_printf ("qemu:commandline argument '%s %s' is a device that writes guest "
                                                   "memory unseen: take it out, or take a snapshot without memory "
                                                   "(--disk-only)",
                                                   option, value));
            break;
          }
    }
}

static void
check_domain (GPtrArray *out, xmlNode *root)
{
  xmlNode *security = pv_xml_child (root, "launchSecurity");
  xmlNode *nvram = pv_xml_descend (root, "os", "nvram", NULL);
  g_autofree char *type = pv_xml_attr (security, "type");

  if (security != NULL)
    g_ptr_array_add (out, g_strdup_printf ("launch security '%s' encrypts the guest's memory, which nobody outside can "
                                           "read: take a snapshot without memory (--disk-only)",
                                           type != NULL ? type : "?"));
  if (pv_xml_attr_is (nvram, "type", "network"))
    g_ptr_array_add (out, g_strdup ("the UEFI variables (nvram) lie on a network disk, which cannot be frozen: move "
                                    "them to a file, or take a snapshot without memory (--disk-only)"));
}

GPtrArray *
pv_domain_xml_untrackable (PvDomainXml *self)
{
  static const struct
  {
    const char *element;
    void (*check) (GPtrArray *out, xmlNode *node);
  } checks[] = {
    { "hostdev", check_hostdev },       { "interface", check_interface }, { "disk", check_disk },
    { "filesystem", check_filesystem }, { "shmem", check_shmem },         { "tpm", check_tpm },
    { "memory", check_memory_device },  { "video", check_video },
  };
  GPtrArray *out = g_ptr_array_new_with_free_func (g_free);
  xmlNode *root = pv_domain_xml_root (self);
  xmlNode *devices = pv_xml_child (root, "devices");

  check_domain (out, root);
  for (guint i = 0; i < G_N_ELEMENTS (checks); i++)
    for (xmlNode *node = pv_xml_child (devices, checks[i].element); node != NULL; node = pv_xml_next (node))
      checks[i].check (out, node);
  check_arguments (out, self);
  return out;
}
