# SPDX-License-Identifier: MIT OR Apache-2.0
# axaddrspace_offer(ARCHITECTURES HOST_PROCESSOR): of the targets axaddrspace::host, ::x86_64, ::aarch64
# and ::riscv64, which must exist for these architectures, make the one for the system that is built for
# axaddrspace::axaddrspace too: on bare metal (CMAKE_SYSTEM_NAME Generic) by CMAKE_SYSTEM_PROCESSOR, on an
# operating system the host's, whose processor is HOST_PROCESSOR. Makes none when there is none.
function(axaddrspace_offer architectures host_processor)
  string(TOLOWER "${CMAKE_SYSTEM_PROCESSOR}" processor)
  string(REGEX REPLACE "^amd64$" "x86_64" processor "${processor}")
  string(REGEX REPLACE "^arm64$" "aarch64" processor "${processor}")
  if(CMAKE_SYSTEM_NAME STREQUAL "Generic")
    set(choice ${processor})
  elseif(processor STREQUAL host_processor)
    set(choice host)
  endif()
  if(choice IN_LIST architectures)
    add_library(axaddrspace::axaddrspace ALIAS axaddrspace::${choice})
  endif()
endfunction()
