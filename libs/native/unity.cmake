# compile_together(target n) compiles n sources of a target at a time: headers, of which <immintrin.h> alone takes half a second, are then read once for
# all of them. Names in one batch must differ, also those of unnamed namespaces; batches follow the order of the sources. Tools that look at one source
# after another turn it off.
option(DROPSTREAM_UNITY "Compile several sources at a time" ON)
function(compile_together target sources_at_a_time)
  set_target_properties(${target} PROPERTIES UNITY_BUILD ${DROPSTREAM_UNITY} UNITY_BUILD_BATCH_SIZE ${sources_at_a_time})
endfunction()
