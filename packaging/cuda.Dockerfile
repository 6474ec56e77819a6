# moco for an NVIDIA GPU. In the root of the repository, with the compute capability of the GPU:
#   docker build -f packaging/cuda.Dockerfile --build-arg COMPUTE_CAP=9.0 -t moco-cuda .
#   docker run --rm --gpus all --user "$(id -u):$(id -g)" -v "$PWD:/work" moco-cuda device
FROM nvidia/cuda:13.0.1-devel-ubuntu24.04 AS build
RUN apt-get update && apt-get install --yes --no-install-recommends build-essential ca-certificates curl \
    && rm -rf /var/lib/apt/lists/*
RUN curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y --profile minimal
ENV PATH=/root/.cargo/bin:$PATH CUDA_ROOT=/usr/local/cuda
# There is no GPU and no driver while an image is built: one dependency asks `nvidia-smi` for the former, and the linker wants
# `libcuda.so` of the latter, of which the toolkit has a stub.
ARG COMPUTE_CAP=8.0
RUN printf '#!/bin/sh\nprintf "compute_cap\\n%s\\n"\n' "$COMPUTE_CAP" > /usr/local/bin/nvidia-smi \
    && chmod +x /usr/local/bin/nvidia-smi \
    && ln -s stubs/libcuda.so /usr/local/cuda/lib64/libcuda.so
WORKDIR /src
COPY . .
RUN cargo build --release --locked --package moco-cli --features cuda

# It has the libraries that the program is linked with; the driver comes from the host.
FROM nvidia/cuda:13.0.1-runtime-ubuntu24.04
COPY --from=build /src/target/release/moco /usr/local/bin/
COPY pipelines /pipelines
WORKDIR /work
ENTRYPOINT ["moco"]
