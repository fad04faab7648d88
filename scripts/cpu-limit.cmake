# SPDX-License-Identifier: MIT OR Apache-2.0
# cpu_limit(TEST [SECONDS]): sets the limit of a test; nothing else does. SECONDS of CPU time, 30 if not said, are
# what the test and its processes may need; by the clock it has twenty times that, which a hang reaches and a busy
# machine does not. `make cpu-time` says what tests do need.
function(cpu_limit test)
  set(seconds 30)
  if(ARGC GREATER 1)
    set(seconds ${ARGV1})
  endif()
  math(EXPR limit "20 * ${seconds}")
  set_tests_properties(${test} PROPERTIES TIMEOUT ${limit})
endfunction()
