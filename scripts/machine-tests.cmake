# machine_tests(NAME DIRECTORY MACHINE ARCH ARGUMENT...): NAME.images makes the images of a machine, and one test
# for each of the CHECKS in DIRECTORY/MACHINE/machine.mk boots one: NAME.max.4 is CPU max with 4 levels.
include(${CMAKE_CURRENT_LIST_DIR}/cpu-limit.cmake)

set(MACHINE_TESTS_ROOT ${CMAKE_CURRENT_LIST_DIR}/..)

function(machine_tests name directory machine arch)
  set(make ${CMAKE_COMMAND} -E env --unset=MAKEFLAGS --unset=MAKELEVEL make -C ${directory}
    MACHINE=${machine} LIB=${MACHINE_TESTS_ROOT}/build/${arch}/libaxaddrspace.a ${ARGN})
  add_test(NAME ${name}.images COMMAND ${make} images)
  set_tests_properties(${name}.images PROPERTIES LABELS machines FIXTURES_SETUP ${name})
  cpu_limit(${name}.images)

  file(STRINGS ${directory}/${machine}/machine.mk checks REGEX "^CHECKS := ")
  string(REGEX REPLACE "^CHECKS := " "" checks "${checks}")
  if(NOT checks)
    message(FATAL_ERROR "${directory}/${machine}/machine.mk has no CHECKS")
  endif()
  string(REPLACE " " ";" checks "${checks}")
  foreach(check ${checks})
    string(REPLACE "/" "." one ${name}.${check})
    string(REPLACE "/" ";" check "${check};")
    list(GET check 0 cpu)
    list(GET check 1 levels)
    list(GET check 2 features)
    add_test(NAME ${one} COMMAND ${make} CPU=${cpu} LEVELS=${levels} FEATURES=${features} check-one)
    set_tests_properties(${one} PROPERTIES
      LABELS machines
      FIXTURES_REQUIRED ${name}
      # Two virtual CPUs that wait for each other in turns.
      PROCESSORS 2
      FAIL_REGULAR_EXPRESSION "FAILED")
    cpu_limit(${one})
  endforeach()
endfunction()
