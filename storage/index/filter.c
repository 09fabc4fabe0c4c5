/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "index/filter.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "chunk/frame.h"
#include "util/error.h"
#include "util/fault.h"
#include "util/file.h"

#define BLOCK_WORDS 8u
#define BLOCK_SIZE 64u /* bytes */
#define BLOCK_OBJECTS (BLOCK_SIZE * 8 / PV_FILTER_BITS)
#define HEADER_SIZE 4096u /* bytes; the blocks follow */
#define BOOT_ID_SIZE 40u
#define LEFT_FREE (1u << 20) /* bytes: an accelerator does not take the last ones, which opening the index needs */
#define UNSETTLED 0u
#define SETTLED 0x5e771ed1u
#define MAGIC G_GUINT64_CONSTANT (0x31746c6966567670) /* "pvVfilt1" where the first byte is the lowest */

/* In the byte order of the machine: with the other one the magic is wrong and the filter is made anew. */
typedef struct
{
  guint64 magic;
  guint32 n_blocks;
  guint32 reserved; /* 0 */
  guint8 id[PV_FILTER_ID_SIZE];
  guint64 checksum; /* of the above */
  guint32 settled;  /* SETTLED: file_checksum holds; UNSETTLED. Atomic */
  guint32 unused;   /* 0 */
  guint64 file_checksum;
  char boot_id[BOOT_ID_SIZE]; /* in which it was unsettled */
} Header;
G_STATIC_ASSERT (sizeof (Header) == 96);

struct _PvFilter
{
  gint ref_count;
  PvFd fd;          /* flock()ed shared as long as it is used */
  char *temporary;  /* (owned) (nullable): path to remove: not published yet */
  guint8 *map;      /* (owned): the whole file, shared */
  gsize size;       /* bytes of it */
  Header *header;   /* in map */
  guint64 *blocks;  /* in map */
  guint32 n_blocks; /* checked; a copy, since the map is shared */
  GMutex lock;      /* one thread unsettles */
};

static guint64
header_checksum (const Header *header)
{
  return pv_checksum ((const guint8 *) header, offsetof (Header, checksum));
}

/* Of all but the state and itself. */
static guint64
file_checksum (const PvFilter *self)
{
  gsize skipped = offsetof (Header, boot_id);

  return pv_checksum (self->map + skipped, self->size - skipped) ^ self->header->checksum;
}

static guint32
get_state (const PvFilter *self)
{
  return __atomic_load_n (&self->header->settled, __ATOMIC_ACQUIRE);
}

static void
set_state (PvFilter *self, guint32 state)
{
  __atomic_store_n (&self->header->settled, state, __ATOMIC_RELEASE);
}

/* Empty when the kernel does not say: then no unsettled file is relied on. */
static void
read_boot_id (char *boot_id)
{
  static const char path[] = "/proc/sys/kernel/random/boot_id";
  g_auto(PvFd) fd = pv_openat (AT_FDCWD, path, O_RDONLY, 0, NULL);

  memset (boot_id, 0, BOOT_ID_SIZE);
  if (fd >= 0 && pv_read_full (fd, boot_id, BOOT_ID_SIZE, path, NULL) < 0)
    memset (boot_id, 0, BOOT_ID_SIZE);
}

static gboolean
map_file (PvFilter *self, gsize size, GError **error)
{
  void *map = mmap (NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, self->fd, 0);

  if (map == MAP_FAILED)
    return pv_throw_errno (error, errno, "cannot map the filter of the index");
  self->map = map;
  self->size = size;
  self->header = map;
  self->blocks = (guint64 *) (self->map + HEADER_SIZE);
  madvise (map, size, MADV_RANDOM);
  return TRUE;
}

static PvFilter *
filter_alloc (void)
{
  PvFilter *self = g_new0 (PvFilter, 1);

  self->ref_count = 1;
  self->fd = PV_FD_NONE;
  g_mutex_init (&self->lock);
  return self;
}

/* PV_ERROR_NO_SPACE when @size bytes more would nearly fill the file system of @fd. */
static gboolean
check_room (int fd, gsize size, const char *path, GError **error)
{
  struct statvfs status;

  return fstatvfs (fd, &status) < 0 || (guint64) status.f_bavail * status.f_frsize >= (guint64) size + LEFT_FREE
         || pv_throw (error, PV_ERROR_NO_SPACE, "'%s' would take the last of the space", path);
}

PvFilter *
pv_filter_new (const char *path, guint64 capacity, GError **error)
{
  g_autoptr(PvFilter) self = filter_alloc ();
  g_autofree char *temporary = g_strdup_printf ("%s.new.XXXXXX", path);
  gsize size;
  int errnum;

  capacity = CLAMP (capacity, PV_FILTER_CAPACITY_MIN, PV_FILTER_CAPACITY_MAX);
  self->n_blocks = (guint32) (capacity / BLOCK_OBJECTS);
  size = HEADER_SIZE + (gsize) self->n_blocks * BLOCK_SIZE;
  if (!pv_fault ("index.filter.create", error))
    return NULL;
  self->fd = g_mkstemp_full (temporary, O_RDWR | O_CLOEXEC, 0600);
  if (self->fd < 0)
    {
      pv_throw_errno (error, errno, "cannot create a file beside '%s'", path);
      return NULL;
    }
  self->temporary = g_steal_pointer (&temporary);
  if (!check_room (self->fd, size, path, error))
    return NULL;
  errnum = posix_fallocate (self->fd, 0, (off_t) size);
  if (errnum != 0)
    {
      pv_throw_errno (error, errnum, "cannot allocate '%s'", path);
      return NULL;
    }
  if (!pv_flock (self->fd, LOCK_SH, path, error) || !map_file (self, size, error))
    return NULL;
  self->header->magic = MAGIC;
  self->header->n_blocks = self->n_blocks;
  if (getrandom (self->header->id, PV_FILTER_ID_SIZE, 0) != PV_FILTER_ID_SIZE)
    {
      pv_throw_errno (error, errno, "cannot get random bytes");
      return NULL;
    }
  self->header->checksum = header_checksum (self->header);
  read_boot_id (self->header->boot_id);
  return g_steal_pointer (&self);
}

gboolean
pv_filter_publish (PvFilter *self, const char *path, GError **error)
{
  g_return_val_if_fail (self->temporary != NULL, FALSE);
  if (msync (self->map, HEADER_SIZE, MS_SYNC) < 0)
    return pv_throw_errno (error, errno, "cannot sync '%s'", path);
  if (!pv_publish (self->temporary, path, error))
    return FALSE;
  g_clear_pointer (&self->temporary, g_free);
  return TRUE;
}

static gboolean
throw_unusable (const char *path, const char *why, GError **error)
{
  return pv_throw (error, PV_ERROR_NOT_FOUND, "filter '%s' %s", path, why);
}

/* Checks the header of a mapped file. */
static gboolean
check_header (PvFilter *self, const char *path, const guint8 *id, gsize id_size, GError **error)
{
  Header header = *self->header;
  char boot_id[BOOT_ID_SIZE];

  if (header.magic != MAGIC || header.checksum != header_checksum (&header) || header.n_blocks == 0
      || self->size != HEADER_SIZE + (gsize) header.n_blocks * BLOCK_SIZE)
    return throw_unusable (path, "is not one", error);
  if (id_size != PV_FILTER_ID_SIZE || memcmp (header.id, id, PV_FILTER_ID_SIZE) != 0)
    return throw_unusable (path, "belongs to another state of the index", error);
  read_boot_id (boot_id);
  if (header.settled != SETTLED && (boot_id[0] == '\0' || memcmp (boot_id, header.boot_id, BOOT_ID_SIZE) != 0))
    return throw_unusable (path, "was in use when the machine went down", error);
  self->n_blocks = header.n_blocks;
  return TRUE;
}

PvFilter *
pv_filter_open (const char *path, const guint8 *id, gsize id_size, GError **error)
{
  g_autoptr(PvFilter) self = filter_alloc ();
  struct stat st;

  self->fd = pv_openat (AT_FDCWD, path, O_RDWR | O_NOFOLLOW, 0, error);
  if (self->fd < 0 || !pv_flock (self->fd, LOCK_SH, path, error))
    return NULL;
  if (fstat (self->fd, &st) < 0 || !S_ISREG (st.st_mode) || st.st_size < (off_t) (HEADER_SIZE + BLOCK_SIZE)
      || st.st_blocks * 512 < st.st_size) /* a hole could not be filled on a full disk */
    {
      throw_unusable (path, "is not one", error);
      return NULL;
    }
  if (!map_file (self, (gsize) st.st_size, error) || !check_header (self, path, id, id_size, error))
    return NULL;
  return g_steal_pointer (&self);
}

PvFilter *
pv_filter_ref (PvFilter *self)
{
  g_atomic_int_inc (&self->ref_count);
  return self;
}

/* Notes the checksum, when nobody else has the file open: nobody can add bits then, and who opens it waits for the
 * lock. */
static void
settle (PvFilter *self)
{
  struct stat st;

  if (get_state (self) != UNSETTLED || fstat (self->fd, &st) < 0 || st.st_nlink == 0) /* replaced by another */
    return;
  if (flock (self->fd, LOCK_EX | LOCK_NB) < 0)
    return;
  self->header->file_checksum = file_checksum (self);
  if (fdatasync (self->fd) == 0)
    set_state (self, SETTLED);
}

void
pv_filter_unref (PvFilter *self)
{
  if (self == NULL || !g_atomic_int_dec_and_test (&self->ref_count))
    return;
  if (self->temporary != NULL)
    unlink (self->temporary);
  else if (self->map != NULL && self->n_blocks > 0)
    settle (self);
  if (self->map != NULL)
    munmap (self->map, self->size);
  pv_fd_clear (&self->fd);
  g_mutex_clear (&self->lock);
  g_free (self->temporary);
  g_free (self);
}

const guint8 *
pv_filter_id (const PvFilter *self)
{
  return self->header->id;
}

guint64
pv_filter_capacity (const PvFilter *self)
{
  return (guint64) self->n_blocks * BLOCK_OBJECTS;
}

/* --- bits --------------------------------------------------------------------------------------------------------- */

static guint64 *
find_block (const PvFilter *self, const PvName *name)
{
  guint32 prefix = ((guint32) name->bytes[0] << 24) | ((guint32) name->bytes[1] << 16)
                   | ((guint32) name->bytes[2] << 8) | (guint32) name->bytes[3];

  return self->blocks + (((guint64) prefix * self->n_blocks) >> 32) * BLOCK_WORDS;
}

/* Six bits of this choose the bit in each word. */
static guint64
choose_bits (const PvName *name)
{
  guint64 bits;

  memcpy (&bits, name->bytes + 16, sizeof bits);
  return bits;
}

gboolean
pv_filter_test (const PvFilter *self, const PvName *name)
{
  const guint64 *block = find_block (self, name);
  guint64 bits = choose_bits (name);
  guint64 all = 1;

  for (guint i = 0; i < BLOCK_WORDS; i++, bits >>= 6)
    all &= __atomic_load_n (&block[i], __ATOMIC_RELAXED) >> (bits & 63);
  return all != 0;
}

void
pv_filter_prefetch (const PvFilter *self, const PvName *name)
{
  __builtin_prefetch (find_block (self, name));
}

/* From here on the file counts only until the next boot; that must be on disk before a bit is. */
static void
unsettle (PvFilter *self)
{
  g_mutex_lock (&self->lock);
  if (get_state (self) != UNSETTLED)
    {
      read_boot_id (self->header->boot_id);
      set_state (self, UNSETTLED);
      msync (self->map, HEADER_SIZE, MS_SYNC);
    }
  g_mutex_unlock (&self->lock);
}

void
pv_filter_add (PvFilter *self, const PvName *name)
{
  guint64 *block = find_block (self, name);
  guint64 bits = choose_bits (name);

  if (G_UNLIKELY (get_state (self) != UNSETTLED))
    unsettle (self);
  for (guint i = 0; i < BLOCK_WORDS; i++, bits >>= 6)
    {
      guint64 bit = G_GUINT64_CONSTANT (1) << (bits & 63);

      if ((__atomic_load_n (&block[i], __ATOMIC_RELAXED) & bit) == 0)
        __atomic_fetch_or (&block[i], bit, __ATOMIC_RELAXED);
    }
}

gboolean
pv_filter_verify (PvFilter *self, GError **error)
{
  guint32 state = get_state (self);
  guint64 expected = self->header->file_checksum;

  if (state == UNSETTLED)
    return TRUE;
  if (state == SETTLED && file_checksum (self) == expected)
    return TRUE;
  /* Somebody may have begun to add bits meanwhile. */
  return get_state (self) == UNSETTLED || pv_corrupt (error, "the filter has changed since it was closed");
}
