/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* <qemu:commandline>: arguments that the user hands to QEMU past libvirt. */
#include "config.h"

#include <string.h>

#include "xml/domain-xml-private.h"

static gboolean
is_qemu_element (xmlNode *node, const char *name)
{
  return node->type == XML_ELEMENT_NODE && node->ns != NULL
         && strcmp ((const char *) node->ns->href, PV_QEMU_NAMESPACE) == 0
         && strcmp ((const char *) node->name, name) == 0;
}

xmlNode *
pv_domain_xml_qemu_child (xmlNode *parent, const char *name)
{
  for (xmlNode *node = parent->children; node != NULL; node = node->next)
    if (is_qemu_element (node, name))
      return node;
  return NULL;
}

GPtrArray *
pv_domain_xml_qemu_arguments (PvDomainXml *self, GPtrArray **nodes)
{
  xmlNode *commandline = pv_domain_xml_qemu_child (pv_domain_xml_root (self), "commandline");
  GPtrArray *arguments = g_ptr_array_new_with_free_func (g_free);

  if (nodes != NULL)
    *nodes = g_ptr_array_new ();
  for (xmlNode *node = commandline != NULL ? commandline->children : NULL; node != NULL; node = node->next)
    {
      char *value = is_qemu_element (node, "arg") ? pv_xml_attr (node, "value") : NULL;

      if (value == NULL)
        continue;
      g_ptr_array_add (arguments, value);
      if (nodes != NULL)
        g_ptr_array_add (*nodes, node);
    }
  return arguments;
}

gboolean
pv_qemu_option_has_value (const char *argument)
{
  /* QEMU's options without a value are few; every other one takes the next argument, whatever that looks like */
  static const char *const flags[] = {
    "S",
    "alt-grab",
    "ctrl-grab",
    "daemonize",
    "enable-fips",
    "enable-kvm",
    "enable-sync-profile",
    "full-screen",
    "h",
    "help",
    "mem-prealloc",
    "no-acpi",
    "no-fd-bootchk",
    "no-hpet",
    "no-kvm",
    "no-quit",
    "no-reboot",
    "no-shutdown",
    "no-user-config",
    "nodefaults",
    "nographic",
    "old-param",
    "only-migratable",
    "portrait",
    "preconfig",
    "s",
    "sdl",
    "semihosting",
    "singlestep",
    "snapshot",
    "usb",
    "version",
    "win2k-hack",
    "xen-attach",
    "xen-domid-restrict",
    NULL,
  };
  const char *name = argument;

  if (*name != '-' || name[1] == '\0')
    return FALSE; /* a disk image by itself, or "-" */
  name += name[1] == '-' ? 2 : 1;
  return !g_strv_contains (flags, name);
}
