/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "virt/connection.h"

#include <errno.h>
#include <libvirt/virterror.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

enum
{
  KEEPALIVE_INTERVAL = 3, /* seconds between probes */
  KEEPALIVE_COUNT = 4,    /* unanswered probes after which libvirtd counts as hung */
};

struct _PvConnection
{
  gatomicrefcount ref_count;
  virConnectPtr connection; /* (owned) */
  char *uri;                /* (owned) (nullable): as given */
  char *full_uri;           /* (owned): as libvirt writes it */
  gulong libvirt_version, qemu_version;
};

static gpointer
event_loop (gpointer data)
{
  for (;;)
    if (virEventRunDefaultImpl () < 0)
      {
        g_warning ("libvirt's event loop failed: %s", virGetLastErrorMessage ());
        g_usleep (G_USEC_PER_SEC / 10);
      }
  return NULL;
}

/* Errors are ours to report: libvirt prints none. */
static void
ignore_error (void *data, virErrorPtr error)
{
}

/* Once per process, before the first connection: libvirt binds a connection to the event loop that it finds then. */
static gboolean
start_event_loop (GError **error)
{
  static GMutex lock;
  static gboolean started;
  g_autoptr(GMutexLocker) locker = g_mutex_locker_new (&lock);

  if (started)
    return TRUE;
  virSetErrorFunc (NULL, ignore_error);
  /* libvirt writes to its socket with write(2): libvirtd's death must be an error, not ours as well */
  signal (SIGPIPE, SIG_IGN);
  if (virInitialize () < 0 || virEventRegisterDefaultImpl () < 0)
    return pv_throw_libvirt (error, "cannot start libvirt's event loop");
  g_thread_unref (g_thread_new ("libvirt-events", event_loop, NULL));
  started = TRUE;
  return TRUE;
}

/* The versions are asked for once: they also prove that the daemon answers. */
static gboolean
check_driver (PvConnection *self, GError **error)
{
  const char *type = virConnectGetType (self->connection);
  char *full_uri;

  if (g_strcmp0 (type, "QEMU") != 0)
    return pv_throw (error, PV_ERROR_UNSUPPORTED,
                     "libvirt connection '%s' is to driver %s: only QEMU guests can be taken, use qemu:///system",
                     self->uri != NULL ? self->uri : "(default)", type != NULL ? type : "?");
  full_uri = virConnectGetURI (self->connection);
  if (full_uri == NULL)
    return pv_throw_libvirt (error, "cannot ask libvirt where it is connected to");
  self->full_uri = g_strdup (full_uri);
  free (full_uri);
  if (virConnectGetLibVersion (self->connection, &self->libvirt_version) < 0)
    return pv_throw_libvirt (error, "cannot ask libvirtd for its version");
  /* fails where no QEMU is installed: guests may still be listed */
  if (virConnectGetVersion (self->connection, &self->qemu_version) < 0)
    self->qemu_version = 0;
  return TRUE;
}

PvConnection *
pv_connection_open (const char *uri, GError **error)
{
  g_autoptr(PvConnection) self = NULL;
  const char *used = uri;

  if (!start_event_loop (error))
    return NULL;
  if (used == NULL)
    used = g_getenv ("LIBVIRT_DEFAULT_URI");
  if (used == NULL || *used == '\0')
    used = "qemu:///system";
  self = g_new0 (PvConnection, 1);
  g_atomic_ref_count_init (&self->ref_count);
  self->uri = g_strdup (used);
  self->connection = virConnectOpenAuth (used, virConnectAuthPtrDefault, 0);
  if (self->connection == NULL)
    {
      pv_throw_libvirt (error, "cannot connect to libvirt at '%s' (is libvirtd running, and may this user reach it?)",
                        used);
      return NULL;
    }
  if (!check_driver (self, error))
    return NULL;
  /* not every transport has it; a hung libvirtd is then noticed by whoever waits for it */
  virConnectSetKeepAlive (self->connection, KEEPALIVE_INTERVAL, KEEPALIVE_COUNT);
  return g_steal_pointer (&self);
}

PvConnection *
pv_connection_reopen (PvConnection *self, guint timeout_ms, GError **error)
{
  gint64 deadline = g_get_monotonic_time () + (gint64) timeout_ms * 1000;

  for (;;)
    {
      g_autoptr(GError) local = NULL;
      PvConnection *again = pv_connection_open (self->uri, &local);

      if (again != NULL)
        return again;
      if (g_get_monotonic_time () >= deadline)
        {
          g_propagate_error (error, g_steal_pointer (&local));
          return NULL;
        }
      g_usleep (50 * 1000);
    }
}

PvConnection *
pv_connection_ref (PvConnection *self)
{
  g_atomic_ref_count_inc (&self->ref_count);
  return self;
}

void
pv_connection_unref (PvConnection *self)
{
  if (self == NULL || !g_atomic_ref_count_dec (&self->ref_count))
    return;
  if (self->connection != NULL)
    virConnectClose (self->connection);
  g_free (self->full_uri);
  g_free (self->uri);
  g_free (self);
}

virConnectPtr
pv_connection_get (PvConnection *self)
{
  return self->connection;
}

const char *
pv_connection_uri (PvConnection *self)
{
  return self->full_uri;
}

gulong
pv_connection_libvirt_version (PvConnection *self)
{
  return self->libvirt_version;
}

gulong
pv_connection_qemu_version (PvConnection *self)
{
  return self->qemu_version;
}

gboolean
pv_connection_alive (PvConnection *self)
{
  return virConnectIsAlive (self->connection) == 1;
}

char *
pv_connection_access_cure (PvConnection *self, const char *label)
{
  virSecurityModel model = { .model = "" };

  if (virNodeGetSecurityModel (self->connection, &model) < 0)
    model.model[0] = '\0';
  if (strcmp (model.model, "apparmor") == 0)
    return g_strdup_printf ("AppArmor profile %s does not let QEMU open it: use a directory below "
                            "/var/lib/libvirt/images, or allow yours in "
                            "/etc/apparmor.d/local/abstractions/libvirt-qemu and start the guest again",
                            label != NULL ? label : "libvirt-UUID of the guest");
  if (strcmp (model.model, "selinux") == 0)
    return g_strdup_printf ("SELinux label %s does not let QEMU open it: give the directory the type virt_image_t "
                            "(semanage fcontext, restorecon); for disks that the store serves, setsebool -P "
                            "virt_use_fusefs on",
                            label != NULL ? label : "svirt_t");
  return g_strdup ("QEMU's user needs permission on the file and search permission on every directory above it");
}

static gboolean
says_denied (const char *message)
{
  return strstr (message, "Permission denied") != NULL || strstr (message, "Operation not permitted") != NULL
         || strstr (message, "authentication failed") != NULL || strstr (message, "access denied") != NULL;
}

static PvError
code_of (const virError *last)
{
  switch (last->code)
    {
    case VIR_ERR_NO_DOMAIN:
    case VIR_ERR_NO_DOMAIN_SNAPSHOT:
    case VIR_ERR_NO_SECRET:
    case VIR_ERR_NO_STORAGE_POOL:
    case VIR_ERR_NO_STORAGE_VOL:
    case VIR_ERR_NO_NETWORK:
      return PV_ERROR_NOT_FOUND;
    case VIR_ERR_DOM_EXIST:
      return PV_ERROR_EXISTS;
    case VIR_ERR_OPERATION_TIMEOUT:
    case VIR_ERR_RESOURCE_BUSY:
    case VIR_ERR_BLOCK_COPY_ACTIVE:
      return PV_ERROR_BUSY;
    case VIR_ERR_AUTH_FAILED:
    case VIR_ERR_AUTH_CANCELLED:
    case VIR_ERR_AUTH_UNAVAILABLE:
    case VIR_ERR_ACCESS_DENIED:
    case VIR_ERR_OPERATION_DENIED:
      return PV_ERROR_DENIED;
    case VIR_ERR_NO_SUPPORT:
    case VIR_ERR_CONFIG_UNSUPPORTED:
    case VIR_ERR_ARGUMENT_UNSUPPORTED:
    case VIR_ERR_OPERATION_UNSUPPORTED:
    case VIR_ERR_NO_CONNECT:
      return PV_ERROR_UNSUPPORTED;
    case VIR_ERR_XML_ERROR:
    case VIR_ERR_XML_DETAIL:
    case VIR_ERR_XML_INVALID_SCHEMA:
      return PV_ERROR_INVALID;
    default:
      break;
    }
  if (last->message != NULL && says_denied (last->message))
    return PV_ERROR_DENIED;
  if (last->message != NULL && strstr (last->message, "No space left on device") != NULL)
    return PV_ERROR_NO_SPACE;
  return PV_ERROR_FAILED;
}

gboolean
pv_throw_libvirt (GError **error, const char *format, ...)
{
  virErrorPtr last = virGetLastError ();
  g_autofree char *subject = NULL;
  g_autofree char *message = NULL;
  va_list arguments;

  va_start (arguments, format);
  subject = g_strdup_vprintf (format, arguments);
  va_end (arguments);
  if (last == NULL || last->code == VIR_ERR_OK)
    return pv_throw (error, PV_ERROR_FAILED, "%s", subject);
  message = g_strdup (last->message != NULL ? last->message : "unknown error");
  return pv_throw (error, code_of (last), "%s: %s", subject, g_strdelimit (g_strstrip (message), "\n", ' '));
}
