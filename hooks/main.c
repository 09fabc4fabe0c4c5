/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* libvirt's hook for QEMU guests: /etc/libvirt/hooks/qemu.d/pagevault GUEST OPERATION SUB-OPERATION EXTRA, with the
 * guest's description on standard input. What it does is told in docs/storage-driver.md.
 *
 * libvirtd waits for it, so it never calls libvirt, and it ends within 2 s whatever pagevaultd does. A guest that has
 * nothing to do with the store starts as ever. "reconnect" and whatever else is asked succeed: libvirt would kill a
 * running guest otherwise. 'pagevault doctor' runs it, too, with "doctor" for the operation: does pagevaultd answer?
 */
#include "config.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "hooks/ask-daemon.h"
#include "hooks/pool-disks.h"
#include "util/error.h"
#include "util/file.h"
#include "util/snapshot-name.h"
#include "xml/domain-xml.h"
#include "xml/restore-path.h"

enum
{
  ASK_MS = 1800,   /* for a guest whose memory is from the store */
  OTHER_MS = 1000, /* for any other */
  TELL_MS = 500,
  DOCTOR_MS = 5000, /* libvirtd does not wait for this one */
};

static int
refuse (const char *guest, const char *why)
{
  g_autofree char *shown = pv_escape_for_message (guest);

  fprintf (stderr, "pagevault: guest %s: %s\n", shown, why);
  return EXIT_FAILURE;
}

/* (transfer full) (nullable) */
static char *
read_description (void)
{
  g_autofree char *text = g_malloc (PV_HOOK_TEXT_MAX + 1);
  gssize n = pv_read_full (STDIN_FILENO, text, PV_HOOK_TEXT_MAX, "description", NULL);

  if (n <= 0 || memchr (text, '\0', (gsize) n) != NULL)
    return NULL;
  text[n] = '\0';
  return g_steal_pointer (&text);
}

static int
print (const char *guest, const char *xml)
{
  if (fputs (xml, stdout) < 0 || fflush (stdout) != 0)
    return refuse (guest, "its description cannot be written");
  return EXIT_SUCCESS;
}

static int
on_restore (const char *guest)
{
  g_autofree char *xml = read_description ();
  gboolean ours = xml != NULL && strstr (xml, PV_RESTORE_PATH_PREFIX) != NULL;
  g_autoptr(GError) error = NULL;
  g_autofree char *answer = NULL;
  g_autofree char *why = NULL;
  PvHookVerb verb = 0;

  if (xml == NULL)
    return EXIT_SUCCESS;
  answer = pv_ask_daemon (PV_HOOK_RESTORE, xml, ours ? ASK_MS : OTHER_MS, &verb, &error);
  if (answer != NULL && verb == PV_HOOK_REFUSE && *answer != '\0')
    return refuse (guest, answer);
  if (!ours && strstr (xml, "-incoming") != NULL)
    {
      g_autofree char *clean = pv_domain_xml_text_without_incoming (xml); /* of a guest that was restored lazily */

      return print (guest, clean);
    }
  if (!ours)
    return EXIT_SUCCESS;
  if (answer != NULL && verb == PV_HOOK_XML && strstr (answer, PV_RESTORE_PATH_PREFIX) == NULL)
    return print (guest, answer);
  why = g_strdup_printf ("the disks that belong to its memory are made by pagevaultd, which does not answer (%s): "
                         "look at 'systemctl status pagevaultd'", error != NULL ? error->message : "nonsense");
  return refuse (guest, why);
}

static int
on_prepare (const char *guest)
{
  g_autofree char *xml = read_description ();
  g_autoptr(GError) error = NULL;

  return xml == NULL || pv_pool_disks_check (xml, ASK_MS, &error) ? EXIT_SUCCESS : refuse (guest, error->message);
}

static int
on_release (const char *guest)
{
  g_autofree char *text = g_strdup_printf ("%" G_GINT64_FORMAT " %s", g_get_real_time (), guest);
  g_autoptr(GError) error = NULL;

  if (!pv_tell_daemon (PV_HOOK_RELEASE, text, TELL_MS, &error))
    g_debug ("%s", error->message);
  return EXIT_SUCCESS;
}

static int
on_doctor (void)
{
  g_autoptr(GError) error = NULL;
  PvHookVerb verb = 0;
  g_autofree char *answer = pv_ask_daemon (PV_HOOK_ALIVE, "", DOCTOR_MS, &verb, &error);

  if (answer != NULL && verb == PV_HOOK_SAME)
    return puts ("pagevaultd answers") < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
  fprintf (stderr, "%s\n", error != NULL ? error->message : "nonsense");
  return EXIT_FAILURE;
}

int
main (int argc, char **argv)
{
  const char *guest = argc > 1 ? argv[1] : "";
  const char *operation = argc > 2 ? argv[2] : "";
  const char *part = argc > 3 ? argv[3] : "";

  signal (SIGPIPE, SIG_IGN);
  if (g_str_equal (operation, "restore") && g_str_equal (part, "begin"))
    return on_restore (guest);
  if (g_str_equal (operation, "prepare") && g_str_equal (part, "begin"))
    return on_prepare (guest);
  if (g_str_equal (operation, "release"))
    return on_release (guest);
  if (g_str_equal (operation, "doctor"))
    return on_doctor ();
  return EXIT_SUCCESS;
}
