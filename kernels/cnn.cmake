# SPDX-License-Identifier: BSD-3-Clause
# The paper's network (cnn.hpp), an object for each set of instructions. With contraction to fused
# multiply-add: twice the speed, and the sets differ by rounding.
target_sources(_kernels PRIVATE kernels/cnn.cpp)

function(add_cnn name)
  add_library(cnn_${name} OBJECT kernels/cnn_isa.cpp)
  target_compile_options(
    cnn_${name} PRIVATE -O3 -ffp-contract=fast -fno-math-errno -fno-trapping-math
                        -fno-strict-aliasing -Wall -Wextra -Wno-psabi ${ARGN})
  target_compile_definitions(cnn_${name} PRIVATE INSITU_ISA=${name})
  set_target_properties(cnn_${name} PROPERTIES POSITION_INDEPENDENT_CODE ON)
  target_link_libraries(_kernels PRIVATE $<TARGET_OBJECTS:cnn_${name}>)
endfunction()

add_cnn(plain)
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64|amd64")
  add_cnn(avx2 -mavx2 -mfma)
  add_cnn(avx512 -mfma -mavx512f -mavx512vl -mavx512bw -mavx512dq -mprefer-vector-width=512)
endif()
target_compile_definitions(cnn_plain PRIVATE INSITU_CNN_SCRATCH)
