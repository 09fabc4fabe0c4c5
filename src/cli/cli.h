/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* PvCli: what all commands of the program share: global options, the store, the connection, how it is told to stop.
 *
 * A command returns an exit status; when it also sets an error, main() prints it as one line
 *   pagevault: COMMAND SUBJECT: message
 * on standard error. Used by the main thread only, but for .cancellable.
 */
#pragma once

#include <gio/gio.h>

#include "cli/output.h"
#include "restore/key-source.h"
#include "store/txn.h"
#include "virt/connection.h"

G_BEGIN_DECLS

typedef enum
{
  PV_EXIT_OK = 0,
  PV_EXIT_FAILED = 1,
  PV_EXIT_USAGE = 2,  /* the command line is wrong; nothing was done */
  PV_EXIT_DAMAGE = 3, /* verify found damage */
} PvExit;

typedef struct
{
  char *uri;                 /* (owned) (nullable): --connect */
  char *store_directory;     /* (owned): --store, PAGEVAULT_STORE or the default */
  char *passphrase_file;     /* (owned) (nullable): --passphrase-file, or PAGEVAULT_PASSPHRASE_FILE */
  char *secret_uuid;         /* (owned) (nullable): --secret */
  gboolean key_configured;   /* they are what the store's configuration says */
  GError *configuration;     /* (owned) (nullable): why that cannot be read */
  PvKeySource keys;          /* made of these; installed */
  gboolean json;             /* --json */
  char *subject;             /* (owned) (nullable): what the command works on, for messages */
  PvStorePin *pin;           /* (owned) (nullable): keeps what is being read, whatever others delete */
  GCancellable *cancellable; /* (owned): cancelled by SIGINT and SIGTERM */
} PvCli;

/* Takes store and key from the environment, or else from the store's configuration (xml/store-xml.h). */
void pv_cli_set_defaults (PvCli *self);

/* Names the object that the command works on; shown escaped in its error message. */
void pv_cli_set_subject (PvCli *self, const char *subject);

/* Opens the store. PvStoreOpenFlags as for pv_store_open(). A missing store's message says how to make one. */
PvStore *pv_cli_open_store (PvCli *self, PvStoreOpenFlags flags, GError **error);
/* FALSE: the command line is wrong. */
gboolean pv_cli_check_scrypt_cost (int cost, GError **error);
PvConnection *pv_cli_open_connection (PvCli *self, GError **error);

/* Makes @argument the subject when it is well-formed: DOMAIN@NAME. FALSE: the command line is wrong. */
gboolean pv_cli_check_snapshot (PvCli *self, const char *argument, GError **error);
/* Looks up @argument, DOMAIN@NAME, and pins it until the command ends. */
PvSnapshot *pv_cli_lookup (PvCli *self, PvStore *store, const char *argument, GError **error);

/* Rows that tell what the store took in. */
void pv_cli_add_stats (PvTable *table, const PvTxnStats *stats);

/* Prints @error on standard error as one line. @command: (nullable). */
void pv_cli_print_error (PvCli *self, const char *command, const GError *error);

void pv_cli_clear (PvCli *self);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (PvCli, pv_cli_clear)

G_END_DECLS
