/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* PvDomainXml: a libvirt domain description: what pagevault needs to know of it, and the few changes it makes to it.
 *
 * Parsed with libxml2 without network and entity expansion; documents above 16 MiB are refused. A value owns its
 * document; not shareable between threads. Unknown elements are kept as they are.
 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

typedef enum
{
  PV_DISK_FILE,
  PV_DISK_BLOCK,
  PV_DISK_OTHER, /* network, volume, nvme, vhostuser …: see .source_type */
} PvDiskSourceKind;

/* .obstacle says why the content cannot be read by .path and .backing, or why the disk can have no overlay: network
 * disk or layer, encryption, slice, LUN … */
typedef struct
{
  char *target;      /* (owned): "vda" */
  char *device;      /* (owned): "disk", "cdrom", "floppy", "lun" */
  char *source_type; /* (owned): the type attribute */
  PvDiskSourceKind kind;
  char *path;         /* (owned) (nullable): of the active layer; NULL for an empty drive */
  char *format;       /* (owned): "raw", "qcow2"; "raw" when not said */
  gboolean readonly;  /* <readonly/>, or a cdrom */
  gboolean shareable; /* <shareable/> */
  gboolean transient; /* <transient/> */
  char *snapshot;     /* (owned) (nullable): the disk's snapshot attribute: "no", "internal", "external", "manual" */
  GPtrArray *backing; /* (owned) (element-type utf8): paths of the backing chain that libvirt reports, nearest first */
  char *mirror;       /* (owned) (nullable): the image that a running block job (copy, active commit) writes to */
  char *obstacle;     /* (owned) (nullable): a sentence, see above; NULL for a plain file or device */
} PvDomainDisk;

typedef struct _PvDomainXml PvDomainXml;

/* PV_ERROR_INVALID with the line number when @xml is not a domain description. */
PvDomainXml *pv_domain_xml_parse (const char *xml, GError **error);
void pv_domain_xml_free (PvDomainXml *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PvDomainXml, pv_domain_xml_free)
PvDomainXml *pv_domain_xml_copy (PvDomainXml *self);
/* (transfer full) */
char *pv_domain_xml_to_string (PvDomainXml *self);

const char *pv_domain_xml_name (PvDomainXml *self);
const char *pv_domain_xml_uuid (PvDomainXml *self);
const char *pv_domain_xml_machine (PvDomainXml *self);  /* (nullable): "pc-i440fx-7.2" */
const char *pv_domain_xml_emulator (PvDomainXml *self); /* (nullable) */
guint64 pv_domain_xml_memory (PvDomainXml *self);       /* bytes */
guint pv_domain_xml_vcpus (PvDomainXml *self);
const char *pv_domain_xml_nvram (PvDomainXml *self);        /* (nullable): path of the UEFI variable store */
const char *pv_domain_xml_nvram_format (PvDomainXml *self); /* "raw" when not said */
/* Whether a guest agent is connected; only a description of the running domain says so. */
gboolean pv_domain_xml_agent_connected (PvDomainXml *self);
gboolean pv_domain_xml_shared_memory (PvDomainXml *self);   /* memoryBacking: shared access, memfd or file source */
gboolean pv_domain_xml_hugepages (PvDomainXml *self);
/* (element-type PvDomainDisk) (transfer none): valid until the next change, like all strings here. */
GPtrArray *pv_domain_xml_disks (PvDomainXml *self);
/* (transfer none) (nullable): by target or, as libvirt's snapshot documents allow too, by its active layer's path. */
PvDomainDisk *pv_domain_xml_find_disk (PvDomainXml *self, const char *name);
/* (element-type utf8) (transfer full): a sentence for each device whose memory writes nobody can track or whose state
 * lies outside QEMU, naming it and the way out: VFIO, mdev and SCSI host devices, vhost-user and vDPA interfaces and
 * disks, virtiofs, shmem, TPM passthrough, nvdimm, encrypted memory … Empty: fine. It knows the description only: what
 * QEMU itself refuses (a mounted 9p share) is told by pv_guest_query_migrate(). A snapshot without memory may ignore
 * it. */
GPtrArray *pv_domain_xml_untrackable (PvDomainXml *self);

/* Changes, each on this value only. */
void pv_domain_xml_set_name (PvDomainXml *self, const char *name);
/* NULL removes it, so that libvirt makes a new one. The UUID in <sysinfo> follows. */
void pv_domain_xml_set_uuid (PvDomainXml *self, const char *uuid);
/* The disk gets <source file=…> and <driver type=…>, loses its backing chain, index and mirror. PV_ERROR_NOT_FOUND for
 * an unknown target. */
gboolean pv_domain_xml_set_disk (PvDomainXml *self, const char *target, const char *path, const char *format,
                                 GError **error);
/* Likewise for a block device: <source dev=…>. */
gboolean pv_domain_xml_set_block_disk (PvDomainXml *self, const char *target, const char *path, const char *format,
                                       GError **error);
/* Says that the disk's file is an overlay over the raw file @path and nothing else: libvirt then believes that, and
 * does not look into the files before it has given them to the guest. */
gboolean pv_domain_xml_set_backing (PvDomainXml *self, const char *target, const char *path, GError **error);
/* The guest pauses when a request to the disk fails, and tries again when it is resumed. */
gboolean pv_domain_xml_set_stop_on_error (PvDomainXml *self, const char *target, GError **error);
/* The disk gets the source (file or block device) and format that the disk of the same target has in @from. */
gboolean pv_domain_xml_copy_disk_source (PvDomainXml *self, const char *target, PvDomainXml *from, GError **error);
/* PV_ERROR_NOT_FOUND when the domain has no UEFI firmware. */
gboolean pv_domain_xml_set_nvram (PvDomainXml *self, const char *path, GError **error);
/* Takes away what belongs to one run only: the domain's id, -incoming arguments of qemu:commandline, backing chains,
 * mirrors. <alias>es are kept. */
void pv_domain_xml_strip_runtime (PvDomainXml *self);
/* The guest starts with "-incoming defer": its QEMU waits for its memory. */
void pv_domain_xml_add_incoming (PvDomainXml *self);
/* Takes that away again, and nothing else. */
void pv_domain_xml_strip_incoming (PvDomainXml *self);
/* (transfer full): description @text without it; as it is when it does not wait for anything. */
char *pv_domain_xml_text_without_incoming (const char *text);
/* The CPU becomes the one that the cookie of a save image has, if both have one: what a guest really ran on. */
gboolean pv_domain_xml_set_cpu_from_cookie (PvDomainXml *self, const char *cookie, GError **error);
/* New random MAC addresses with the same vendor prefix (clone). */
void pv_domain_xml_renew_macs (PvDomainXml *self);
/* The links of all network interfaces. */
void pv_domain_xml_set_links (PvDomainXml *self, gboolean up);
/* (element-type utf8) (transfer full): <alias>es of the interfaces whose link is down. */
GPtrArray *pv_domain_xml_links_down (PvDomainXml *self);
/* A domain that has a generation id gets this one: its guest then knows that it is another one than before. */
void pv_domain_xml_set_generation (PvDomainXml *self, const char *uuid);

/* (transfer full): the <cookie> of a libvirt save image: the <cpu> inside. NULL when the domain has no <cpu>. Call it
 * on the live description that is NOT migratable (pv_guest_xml() with flags 0): only that one tells the CPU as QEMU
 * really runs it. */
char *pv_domain_xml_save_cookie (PvDomainXml *self);

G_END_DECLS
