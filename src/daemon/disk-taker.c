/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "daemon/disk-taker.h"

#include <string.h>
#include <unistd.h>

#include "capture/capture-options.h"
#include "capture/disk-plan.h"
#include "capture/disk-source.h"
#include "daemon/own-disks.h"
#include "util/error.h"
#include "util/file.h"
#include "virt/attachments.h"
#include "virt/guest.h"

#define ASK_STEP_US (20 * 1000)
#define ASK_TRIES 500                        /* times that libvirt is asked */
#define PATIENCE_US (5 * G_USEC_PER_SEC)             /* for an answer that is not there at the last write */
#define SETTLE_STEP_US (50 * 1000)
#define SETTLE_TRIES 20
#define NVRAM_MAX (256u << 20)               /* bytes */
#define RUN_DIRECTORY "/run/pagevault/saves" /* for sockets of qemu-nbd */

/* What thread and owner share. */
typedef struct
{
  int ref_count; /* atomic */
  char *uuid;    /* (owned) */
  PvConnection *connection; /* (owned) */
  GMutex lock;
  GCond cond;
  int operation; /* virDomainJobOperation, -1: not known; under lock */
  gboolean over; /* nobody wants to know any more, or it cannot be known; under lock */
} Question;

struct _PvDiskTaker
{
  PvDomainXml *domain; /* (owned) */
  Question *question;  /* (owned) */
};

static void
question_unref (Question *self)
{
  if (!g_atomic_int_dec_and_test (&self->ref_count))
    return;
  g_mutex_clear (&self->lock);
  g_cond_clear (&self->cond);
  pv_connection_unref (self->connection);
  g_free (self->uuid);
  g_free (self);
}

/* --- asking ------------------------------------------------------------------------------------------------------ */

/* -1: no job that says what it is. */
static int
ask_operation (PvGuest *guest)
{
  virTypedParameterPtr params = NULL;
  int n_params = 0, type, operation = -1;

  if (virDomainGetJobStats (pv_guest_get (guest), &type, &params, &n_params, 0) == 0
      && virTypedParamsGetInt (params, n_params, VIR_DOMAIN_JOB_OPERATION, &operation) != 1)
    operation = -1;
  virTypedParamsFree (params, n_params);
  return operation;
}

static gboolean
is_over (Question *self, int operation, gboolean over)
{
  g_autoptr(GMutexLocker) locker = g_mutex_locker_new (&self->lock);

  if (operation >= 0)
    self->operation = operation;
  self->over |= over || operation >= 0;
  g_cond_broadcast (&self->cond);
  return self->over;
}

static gpointer
ask (gpointer data)
{
  Question *self = data;
  g_autoptr(GError) error = NULL;
  g_autoptr(PvGuest) guest = pv_guest_lookup_uuid (self->connection, self->uuid, &error);

  for (guint i = 0; guest != NULL && i < ASK_TRIES; i++)
    {
      if (is_over (self, ask_operation (guest), FALSE))
        break;
      g_usleep (ASK_STEP_US);
    }
  if (error != NULL)
    g_warning ("libvirt cannot be asked what it does with guest %s: %s", self->uuid, error->message);
  is_over (self, -1, TRUE);
  question_unref (self);
  return NULL;
}

PvDiskTaker *
pv_disk_taker_new (PvLibvirtLink *link, PvDomainXml *domain)
{
  g_autoptr(PvConnection) connection = pv_libvirt_link_get (link);
  PvDiskTaker *self = g_new0 (PvDiskTaker, 1);
  Question *question = g_new0 (Question, 1);

  self->domain = pv_domain_xml_copy (domain);
  self->question = question;
  question->ref_count = 1;
  question->operation = -1;
  question->uuid = g_strdup (pv_domain_xml_uuid (domain));
  g_mutex_init (&question->lock);
  g_cond_init (&question->cond);
  question->over = connection == NULL;
  if (connection != NULL)
    {
      question->connection = g_steal_pointer (&connection);
      g_atomic_int_inc (&question->ref_count);
      g_thread_unref (g_thread_new ("ask-libvirt", ask, question));
    }
  return self;
}

void
pv_disk_taker_free (PvDiskTaker *self)
{
  is_over (self->question, -1, TRUE);
  question_unref (self->question);
  pv_domain_xml_free (self->domain);
  g_free (self);
}

/* The answer; it came long ago, unless there was next to no memory. */
static int
wait_operation (Question *self)
{
  gint64 deadline = g_get_monotonic_time () + PATIENCE_US;
  g_autoptr(GMutexLocker) locker = g_mutex_locker_new (&self->lock);

  while (!self->over && g_cond_wait_until (&self->cond, &self->lock, deadline))
    ;
  return self->operation;
}

/* --- taking ------------------------------------------------------------------------------------------------------ */

/* What a file looks like when nobody can have written to it in the moment before. (nullable) */
static PvLayers *
look_settled (const PvDiskPlanEntry *entry, GError **error)
{
  for (guint i = 0; i < SETTLE_TRIES; i++)
    {
      g_autoptr(PvLayers) layers = pv_layers_look (entry->path, entry->format, error);

      if (layers == NULL || pv_layers_settled (layers))
        return g_steal_pointer (&layers);
      g_usleep (SETTLE_STEP_US);
    }
  return NULL;
}

static gboolean
take_disk (const PvDiskPlanEntry *entry, const char *directory, PvTxn *txn, GHashTable *all_layers, GError **error)
{
  g_autoptr(GError) local = NULL;
  g_autoptr(PvLayers) layers = look_settled (entry, &local);
  g_autoptr(PvDiskSource) source
      = local == NULL ? pv_disk_source_open (entry->path, entry->format, directory, error) : NULL;
  PvVolumeWriter *writer;

  if (local != NULL)
    g_propagate_error (error, g_steal_pointer (&local));
  if (source == NULL)
    return FALSE;
  writer = pv_txn_add_volume (txn, PV_VOLUME_DISK, entry->target, pv_disk_source_size (source), error);
  if (writer == NULL || !pv_disk_source_copy (source, writer, 0, NULL, NULL, NULL, error)
      || !pv_volume_writer_finish (writer, error))
    return FALSE;
  if (layers != NULL)
    g_hash_table_insert (all_layers, g_strdup (entry->target), g_steal_pointer (&layers));
  return TRUE;
}

/* A disk that the description leaves out of snapshots: after a restore it must be what it is now. */
static gboolean
note_disk (PvDiskTaker *self, const PvDiskPlanEntry *entry, GHashTable *all_layers, GError **error)
{
  const PvDomainDisk *disk = pv_domain_xml_find_disk (self->domain, entry->target);
  g_autoptr(PvLayers) layers = NULL;

  if (disk == NULL || disk->path == NULL || disk->readonly || disk->shareable)
    return TRUE;
  layers = look_settled (entry, NULL);
  if (layers == NULL)
    return pv_throw (error, PV_ERROR_UNSUPPORTED,
                     "it is left out of snapshots, and nobody could tell later whether it has changed");
  g_hash_table_insert (all_layers, g_strdup (entry->target), g_steal_pointer (&layers));
  return TRUE;
}

static gboolean
take_nvram (PvDiskTaker *self, PvTxn *txn, GError **error)
{
  const char *path = pv_domain_xml_nvram (self->domain);
  g_autoptr(GBytes) bytes = path != NULL ? pv_read_file (path, NVRAM_MAX, error) : NULL;

  return path == NULL || (bytes != NULL && pv_txn_add_blob (txn, PV_BLOB_NVRAM, bytes, error));
}

static gboolean
take_all (PvDiskTaker *self, PvDiskPlan *plan, const char *directory, PvTxn *txn, GError **error)
{
  g_autoptr(GHashTable) layers
      = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, (GDestroyNotify) pv_layers_free);

  for (guint i = 0; i < plan->entries->len; i++)
    {
      const PvDiskPlanEntry *entry = plan->entries->pdata[i];

      if (entry->taken ? !take_disk (entry, directory, txn, layers, error)
                       : !note_disk (self, entry, layers, error))
        {
          g_prefix_error (error, "disk %s: ", entry->target);
          return FALSE;
        }
    }
  return take_nvram (self, txn, error) && pv_own_disks_attach (txn, layers, error);
}

gboolean
pv_disk_taker_take (PvDiskTaker *self, PvTxn *txn, gboolean *taken, GError **error)
{
  int operation = wait_operation (self->question);
  g_autofree char *directory = g_build_filename (RUN_DIRECTORY, self->question->uuid, NULL);
  g_autoptr(PvDiskPlan) plan = NULL;
  PvCaptureOptions options;
  gboolean done;

  *taken = operation == VIR_DOMAIN_JOB_OPERATION_SAVE;
  if (operation == VIR_DOMAIN_JOB_OPERATION_SNAPSHOT)
    return TRUE;
  if (!*taken)
    return pv_throw (error, PV_ERROR_FAILED, "libvirt does not say what it does with the guest: save it again");
  pv_capture_options_init (&options);
  plan = pv_disk_plan_new (self->domain, &options, "", FALSE, error);
  pv_capture_options_clear (&options);
  if (plan == NULL)
    return FALSE;
  done = pv_mkdirs (directory, 0700, error) && take_all (self, plan, directory, txn, error);
  rmdir (directory);
  return done;
}
