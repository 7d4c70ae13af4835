# SPDX-License-Identifier: BSD-3-Clause
# The network on the whole sample's graph (edge_conv.hpp), an object for each set of instructions.
target_sources(_kernels PRIVATE kernels/spatial.cpp)

function(add_spatial name)
  add_library(spatial_${name} OBJECT kernels/isa_spatial.cpp)
  target_compile_options(spatial_${name} PRIVATE ${flags} -ffp-contract=fast -ffinite-math-only
                                                 -fno-signed-zeros ${ARGN})
  target_compile_definitions(spatial_${name} PRIVATE INSITU_ISA=${name})
  set_target_properties(spatial_${name} PROPERTIES POSITION_INDEPENDENT_CODE ON)
  target_link_libraries(_kernels PRIVATE $<TARGET_OBJECTS:spatial_${name}>)
endfunction()

add_spatial(plain)
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64|amd64")
  add_spatial(avx2 -mavx2 -mfma)
  add_spatial(avx512 -mfma -mavx512f -mavx512vl -mavx512bw -mavx512dq -mprefer-vector-width=512)
endif()
