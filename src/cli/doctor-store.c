/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The store: is it there, is it private, is there room. */
#include "config.h"

#include <errno.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "cli/doctor.h"
#include "util/bytesize.h"
#include "util/error.h"

#define ROOM_WANTED (1ull << 30) /* bytes: below this even a small guest may not fit */

static void
look_at_mode (PvDoctor *self, const char *directory)
{
  struct stat status;

  if (stat (directory, &status) < 0)
    return;
  if ((status.st_mode & 077) != 0)
    {
      g_autofree char *cure = g_strdup_printf ("chmod 0700 '%s'", directory);

      pv_doctor_add (self, "store", PV_FINDING_BAD, cure,
                     "'%s' is open to other users (mode %04o): it holds the memory of guests", directory,
                     (guint) (status.st_mode & 07777));
    }
  if (status.st_uid != geteuid ())
    pv_doctor_add (self, "store", PV_FINDING_NOTE, "run pagevault as the store's owner",
                   "'%s' belongs to user %u, not to the one who asks", directory, (guint) status.st_uid);
}

static void
look_at_room (PvDoctor *self, const char *directory)
{
  g_autofree char *at = g_canonicalize_filename (directory, NULL);
  struct statvfs status;
  guint64 room;
  g_autofree char *text = NULL;

  while (statvfs (at, &status) < 0) /* a store that is yet to be made gets the room of what it will be in */
    {
      char *parent = errno == ENOENT ? g_path_get_dirname (at) : NULL;

      if (parent == NULL)
        return;
      g_free (at);
      at = parent;
    }
  room = (guint64) status.f_bavail * status.f_frsize;
  text = pv_bytesize_format (room);
  if (room < ROOM_WANTED)
    pv_doctor_add (self, "space", PV_FINDING_BAD, "pagevault delete old snapshots, then pagevault gc",
                   "only %s are free behind '%s'", text, directory);
  else
    pv_doctor_add (self, "space", PV_FINDING_OK, NULL, "%s free", text);
}

void
pv_doctor_look_at_store (PvDoctor *self, PvCli *cli)
{
  const char *directory = cli->store_directory;
  g_autoptr(GError) error = NULL;
  g_autoptr(PvStore) store = pv_store_open (directory, 0, &error);
  PvStoreStat stat = { 0 };

  if (cli->configuration != NULL)
    pv_doctor_add (self, "configuration", PV_FINDING_BAD, "mend the file: every command needs it", "%s",
                   cli->configuration->message);
  if (store != NULL && pv_store_stat (store, &stat, &error))
    pv_doctor_add (self, "store", PV_FINDING_OK, NULL, "'%s' holds %" G_GUINT64_FORMAT " snapshots", directory,
                   stat.n_snapshots);
  else if (g_error_matches (error, PV_ERROR, PV_ERROR_NOT_FOUND))
    pv_doctor_add (self, "store", PV_FINDING_OK, NULL, "none in '%s' yet: the first 'create' makes it", directory);
  else if (g_error_matches (error, PV_ERROR, PV_ERROR_CORRUPT))
    pv_doctor_add (self, "store", PV_FINDING_BAD,
                   "pagevault verify tells what is damaged; pagevault verify --rebuild-index mends the index", "%s",
                   error->message);
  else if (g_error_matches (error, PV_ERROR, PV_ERROR_DENIED))
    pv_doctor_add (self, "store", PV_FINDING_BAD,
                   "run it as the store's owner; an encrypted store needs --passphrase-file or --secret", "%s",
                   error->message);
  else
    pv_doctor_add (self, "store", PV_FINDING_BAD, "name another with --store or PAGEVAULT_STORE", "%s",
                   error->message);
  if (store != NULL)
    look_at_mode (self, directory);
  look_at_room (self, directory);
}
