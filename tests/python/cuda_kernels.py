"""Compiles CUDA kernels with NVRTC, as the program does when it first uses them. Needs no GPU.

    cuda_kernels.py FOLDER [sm_80 ...]     every `.cu` file of the folder, for sm_80 and sm_90 unless others are named

`cargo run -p tensor-ops --features cuda-emulated --example write_kernels -- FOLDER` writes the files. NVRTC is that of the
package nvidia-cuda-nvrtc, or else the system's. The exit code is 1 if a file does not compile, and 77 without NVRTC.
"""

import ctypes
import sys
import sysconfig
from pathlib import Path


def nvrtc():
    """The library, of the newest version that there is."""
    installed = sorted(Path(sysconfig.get_path("purelib"), "nvidia").glob("*/lib/libnvrtc.so.*"), reverse=True)
    for path in [*installed, *(f"libnvrtc.so.{major}" for major in (13, 12))]:
        try:
            # NVRTC opens this one by its bare name, which finds what is loaded already.
            for builtins in Path(path).parent.glob("libnvrtc-builtins.so.*") if path in installed else []:
                ctypes.CDLL(str(builtins), mode=ctypes.RTLD_GLOBAL)
            return ctypes.CDLL(str(path))
        except OSError:
            continue
    print("there is no NVRTC; `pip install nvidia-cuda-nvrtc` brings it", file=sys.stderr)
    sys.exit(77)


def compile_for(library, source, name, architecture):
    """The size of the machine code, 0 if there is none, and what the compiler says."""
    program, size = ctypes.c_void_p(), ctypes.c_size_t()
    error = library.nvrtcCreateProgram(ctypes.byref(program), source, name.encode(), 0, None, None)
    if error:
        raise RuntimeError(f"nvrtcCreateProgram: {error}")
    options = [f"--gpu-architecture={architecture}", "-diag-suppress=177"]  # 177: what of the prelude is not used
    argv = (ctypes.c_char_p * len(options))(*map(str.encode, options))
    error = library.nvrtcCompileProgram(program, len(options), argv)
    library.nvrtcGetProgramLogSize(program, ctypes.byref(size))
    log = ctypes.create_string_buffer(size.value)
    library.nvrtcGetProgramLog(program, log)
    size.value = 0
    if not error:
        library.nvrtcGetCUBINSize(program, ctypes.byref(size))
    library.nvrtcDestroyProgram(ctypes.byref(program))
    return size.value, log.value.decode(errors="replace").strip()


def main(folder, *architectures):
    library = nvrtc()
    version = (ctypes.c_int * 2)()
    library.nvrtcVersion(ctypes.byref(version, 0), ctypes.byref(version, ctypes.sizeof(ctypes.c_int)))
    files = sorted(Path(folder).glob("*.cu"))
    print(f"NVRTC {version[0]}.{version[1]}, {len(files)} files")
    is_right = bool(files)
    for file in files:
        told = []
        for architecture in architectures or ("sm_80", "sm_90"):
            size, log = compile_for(library, file.read_bytes(), file.name, architecture)
            is_right &= size > 0
            told.append(f"{architecture} {f'{size:,} bytes' if size else 'FAILED'}")
            if log:
                print(log)
        print(f"{file.stem}: {', '.join(told)}")
    return 0 if is_right else 1


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    sys.exit(main(*sys.argv[1:]))
