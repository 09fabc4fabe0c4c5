/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The layout is the kernel's ABI: struct rt_sigframe of arch/x86, whose parts are in <asm/sigcontext.h> and in
 * glibc's <ucontext.h>, and the XSAVE area of the processor's manual. */
#include "config.h"

#include "memsnap/remote-frame.h"

#include <cpuid.h>
#include <elf.h>
#include <errno.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/syscall.h>
#include <ucontext.h>

#include "util/error.h"

#ifndef PTRACE_GETSIGMASK
#define PTRACE_GETSIGMASK 0x420a
#endif

enum
{
  RED_ZONE = 128,          /* bytes below the stack pointer that belong to the thread */
  LEGACY_SIZE = 512 + 64,  /* bytes of an XSAVE area before its parts */
  SOFTWARE_AT = 464,       /* where in it the kernel's own bytes are */
  HEADER_AT = 512,
  CONTEXT_SIZE = 5 * 8 + 256 + 8, /* of the kernel's struct ucontext: flags, link, stack, registers, signal mask */
  FLAGS = 1 | 2 | 4,       /* extended state follows; segment registers are right */
};

#define MAGIC_1 0x46505853u
#define MAGIC_2 0x46505845u
#define TILES (G_GUINT64_CONSTANT (3) << 17) /* AMX: not part of a frame unless the process asked for it */

/* Errors of interrupted system calls, which user space never sees. */
enum
{
  RESTART_SYS = 512,
  RESTART_NO_INTR = 513,
  RESTART_NO_HAND = 514,
  RESTART_BLOCK = 516,
};

typedef struct
{
  guint32 magic;
  guint32 extended_size; /* with the second magic */
  guint64 features;
  guint32 size;
  guint32 padding[7];
} Software;

/* Bytes of an XSAVE area (standard format) with @features. */
static gsize
area_size (guint64 features)
{
  gsize size = LEGACY_SIZE;

  for (guint i = 2; i < 63; i++)
    {
      guint32 a = 0, b = 0, c = 0, d = 0;

      if ((features >> i & 1) != 0 && __get_cpuid_count (0xd, i, &a, &b, &c, &d))
        size = MAX (size, (gsize) a + b);
    }
  return size;
}

/* The floating-point state at @at, with what the kernel wants to find in a frame. 0: cannot be. */
static gsize
put_state (int tid, guint8 *at, gsize max, GError **error)
{
  struct iovec io = { at, max };
  Software software = { .magic = MAGIC_1 };
  const guint32 end = MAGIC_2;
  guint64 used;

  if (ptrace (PTRACE_GETREGSET, tid, NT_X86_XSTATE, &io) < 0 || io.iov_len < LEGACY_SIZE)
    {
      pv_throw_errno (error, errno, "cannot read the floating-point state of thread %d", tid);
      return 0;
    }
  memcpy (&software.features, at + SOFTWARE_AT, 8);
  memcpy (&used, at + HEADER_AT, 8);
  software.features &= ~TILES;
  software.size = (guint32) area_size (software.features);
  software.extended_size = software.size + 4;
  if ((used & TILES) != 0 || software.size > io.iov_len || software.extended_size > max)
    {
      pv_throw (error, PV_ERROR_UNSUPPORTED, "thread %d has processor state that cannot be put back (tiles)", tid);
      return 0;
    }
  memcpy (at + SOFTWARE_AT, &software, sizeof software);
  memcpy (at + software.size, &end, sizeof end);
  return software.extended_size;
}

/* Where the thread goes on: an interrupted system call is called again. The kernel would let one with a relative
 * timeout go on with what is left of it (restart_syscall), but forgets that in rt_sigreturn: so it begins anew. FALSE:
 * it is such a one already, interrupted before, and nobody can tell which. */
static gboolean
restart (struct user_regs_struct *regs)
{
  gint64 number = (gint64) regs->orig_rax, result = -(gint64) regs->rax;

  if (number < 0 || (result != RESTART_SYS && result != RESTART_NO_INTR && result != RESTART_NO_HAND
                     && result != RESTART_BLOCK))
    return TRUE;
  regs->rax = regs->orig_rax;
  regs->rip -= 2;
  return number != SYS_restart_syscall;
}

static void
put_registers (ucontext_t *context, const struct user_regs_struct *regs)
{
  greg_t *to = context->uc_mcontext.gregs;

  to[REG_R8] = (greg_t) regs->r8;
  to[REG_R9] = (greg_t) regs->r9;
  to[REG_R10] = (greg_t) regs->r10;
  to[REG_R11] = (greg_t) regs->r11;
  to[REG_R12] = (greg_t) regs->r12;
  to[REG_R13] = (greg_t) regs->r13;
  to[REG_R14] = (greg_t) regs->r14;
  to[REG_R15] = (greg_t) regs->r15;
  to[REG_RDI] = (greg_t) regs->rdi;
  to[REG_RSI] = (greg_t) regs->rsi;
  to[REG_RBP] = (greg_t) regs->rbp;
  to[REG_RBX] = (greg_t) regs->rbx;
  to[REG_RDX] = (greg_t) regs->rdx;
  to[REG_RAX] = (greg_t) regs->rax;
  to[REG_RCX] = (greg_t) regs->rcx;
  to[REG_RSP] = (greg_t) regs->rsp;
  to[REG_RIP] = (greg_t) regs->rip;
  to[REG_EFL] = (greg_t) regs->eflags;
  to[REG_CSGSFS] = (greg_t) ((regs->cs & 0xffff) | (regs->ss & 0xffff) << 48);
}

gboolean
pv_remote_frame_make (int tid, const struct user_regs_struct *regs, guint64 restorer, PvRemoteFrame *frame,
                      GError **error)
{
  static guint8 state_buffer[PV_REMOTE_FRAME_MAX / 2]; /* one frame at a time: under the caller's lock */
  struct user_regs_struct to_restore = *regs;
  gsize state_size = put_state (tid, state_buffer, sizeof state_buffer, error);
  guint64 state_address, mask;
  ucontext_t context;

  if (state_size == 0)
    return FALSE;
  if (ptrace (PTRACE_GETSIGMASK, tid, sizeof mask, &mask) < 0)
    return pv_throw_errno (error, errno, "cannot read the signal mask of thread %d", tid);
  state_address = (regs->rsp - RED_ZONE - state_size) & ~G_GUINT64_CONSTANT (63);
  /* As at the entry of a function: the return address, then, on a multiple of 16, the context. */
  frame->address = ((state_address - CONTEXT_SIZE) & ~G_GUINT64_CONSTANT (15)) - 8;
  frame->size = state_address + state_size - frame->address;
  if (frame->size > sizeof frame->bytes)
    return pv_throw (error, PV_ERROR_UNSUPPORTED, "thread %d has more processor state than is known here", tid);
  memset (&context, 0, sizeof context);
  memset (frame->bytes, 0, frame->size);
  if (!restart (&to_restore))
    return pv_throw (error, PV_ERROR_BUSY, "thread %d waits in a system call that was interrupted before: try again",
                     tid);
  put_registers (&context, &to_restore);
  context.uc_flags = FLAGS;
  /* Flags that no alternate stack has: the one that is set stays. */
  context.uc_stack.ss_flags = 0x55;
  context.uc_mcontext.fpregs = (fpregset_t) (gsize) state_address;
  memcpy (frame->bytes, &restorer, 8);
  memcpy (frame->bytes + 8, &context, CONTEXT_SIZE - 8);
  memcpy (frame->bytes + 8 + CONTEXT_SIZE - 8, &mask, 8);
  memcpy (frame->bytes + (state_address - frame->address), state_buffer, state_size);
  return TRUE;
}
