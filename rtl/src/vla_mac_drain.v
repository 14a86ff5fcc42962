// From complete strips to words in memory: requantize, table, residual, maxima, write.
// Does: take a group of pixels per cycle (of int16 results every second cycle) when its accumulators, its records and its
// place are there; requantize Group x Block values, look them up or widen them, add the residual, write the words.
// Does not: stall once a group is taken; the queues of places and results have room for all groups on the way.
// Latency: group -> write request 11 cycles, 18 with an int8 residual, 12 for the low plane of int16 results.
`include "vla_isa.vh"
`default_nettype none
module vla_mac_drain #(
  parameter Block     = 16,
  parameter ActAw     = 17,
  parameter ParamBits = 1024,
  parameter Group     = 2,    // pixels taken at once
  parameter Depth     = 32    // groups between place and memory
) (
  input  wire                 clk_i,
  input  wire                 rst_i,
  // constants of the running packet
  input  wire [511:0]         conv_i,
  input  wire [511:0]         gemm_i,
  input  wire                 ready_i,          // table and residual record are there
  input  wire [95:0]          residual_record_i,
  input  wire                 table_valid_i,
  input  wire                 table_first_i,
  input  wire [ParamBits-1:0] table_word_i,
  output wire                 table_busy_o,
  // places: an entry for each word of a group's pixels, see vla_mac_place
  input  wire                 group_valid_i,
  input  wire [1:0]           group_kind_i,
  input  wire                 group_words_i,
  input  wire [Group-1:0]     group_live_i,
  input  wire                 group_strip_last_i,
  input  wire                 group_tile_last_i,
  input  wire                 group_packet_last_i,
  input  wire                 group_block_first_i,
  input  wire                 group_block_last_i,
  input  wire [5*Group-1:0]   group_columns_i,
  input  wire [Group*ActAw-1:0]   group_addr_i,
  input  wire [Group*8*Block-1:0]  group_read_i,
  output wire                 freed_o,
  // strips and records
  input  wire                 strip_valid_i,
  input  wire                 strip_silent_i,
  input  wire [32*Group*Block-1:0] strip_acc_i, // [pair][out channel][pixel of the pair]
  output wire                 strip_take_o,
  output wire                 strip_take_last_o,
  input  wire                 record_valid_i,
  input  wire [64*Block-1:0]  record_i,
  output wire                 record_take_o,
  // write lanes
  output wire [Group-1:0]           wr_valid_o,
  output wire [Group*ActAw-1:0]   wr_addr_o,
  output wire [Group*8*Block-1:0]  wr_data_o,
  input  wire [Group-1:0]           wr_grant_i,
  output wire                 done_o
);

  localparam Lanes = Group * Block;

  wire unused_packets = &{1'b0, conv_i, gemm_i};

  wire       residual = conv_i[`VLA_CONV_RESIDUAL_ENABLE];
  wire [1:0] rounding = conv_i[`VLA_CONV_ROUNDING];
  wire       wide     = gemm_i[`VLA_GEMM_OUT_BYTES] == `VLA_GEMM_OUT_BYTES_INT16;
  wire       added    = gemm_i[`VLA_GEMM_RES_KIND] != `VLA_GEMM_RES_KIND_NONE;
  wire       records  = gemm_i[`VLA_GEMM_SCALE_BY] == `VLA_GEMM_SCALE_BY_ROW;
  wire       keep     = gemm_i[`VLA_GEMM_ROW_MAX];

  // ---- take a group ----
  wire unused_step_ready;
  wire step_valid, step_strip_last, step_tile_last, step_block_first, step_block_last;
  wire [5*Group-1:0] step_columns;
  reg  hold_q;   // the two planes of the group taken last need another cycle
  wire take = step_valid && strip_valid_i && record_valid_i && ready_i && !hold_q;
  always @(posedge clk_i) hold_q <= !rst_i && take && wide;

  vla_fifo #(.Width(4 + 5*Group), .Depth(Depth)) u_steps (
    .clk_i(clk_i), .rst_i(rst_i),
    .in_valid_i(group_valid_i && group_kind_i == {1'b0, wide}), .in_ready_o(unused_step_ready),
    .in_data_i({group_strip_last_i, group_tile_last_i, group_block_first_i, group_block_last_i, group_columns_i}),
    .out_valid_o(step_valid), .out_ready_i(take),
    .out_data_o({step_strip_last, step_tile_last, step_block_first, step_block_last, step_columns})
  );

  assign strip_take_o      = take;
  assign strip_take_last_o = step_strip_last;
  assign record_take_o     = take && step_tile_last;

  wire [8*Lanes-1:0]  read;         // what place read: residual words, or a record for each pixel
  wire [32*Lanes-1:0] acc;          // [pixel][out channel]
  wire [64*Lanes-1:0] lane_record;  // a pixel's record has no bias
  genvar p, o;
  generate
    for (p = 0; p < Group; p = p + 1) begin : g_pixel
      for (o = 0; o < Block; o = o + 1) begin : g_channel
        assign acc[32*(p*Block + o) +: 32] = strip_acc_i[64*(p/2*Block + o) + 32*(p%2) +: 32];
        assign lane_record[64*(p*Block + o) +: 64] = records ? {read[8*Block*p + 32 +: 32], 32'd0} : record_i[64*o +: 64];
      end
    end
  endgenerate

  // ---- requantize, table ----
  wire               q_valid, mapped_valid;
  wire [18*Lanes-1:0] q;
  wire [8*Lanes-1:0] q8, mapped;
  wire [7:0]         zero8 = conv_i[`VLA_CONV_OUT_ZERO];
  wire [7:0]         lo8   = conv_i[`VLA_CONV_LO];
  wire [7:0]         hi8   = conv_i[`VLA_CONV_HI];

  vla_requantize #(.Lanes(Lanes), .Bits(18)) u_requantize (
    .clk_i(clk_i), .rst_i(rst_i),
    .rounding_i(rounding), .zero_i(wide ? 18'd0 : {{10{zero8[7]}}, zero8}),
    .lo_i(wide ? 18'h20000 : {{10{lo8[7]}}, lo8}), .hi_i(wide ? 18'h1FFFF : {{10{hi8[7]}}, hi8}),
    .valid_i(take), .silent_i(strip_silent_i), .acc_i(acc), .record_i(lane_record),
    .valid_o(q_valid), .q_o(q)
  );

  generate
    for (o = 0; o < Lanes; o = o + 1) begin : g_byte
      assign q8[8*o +: 8] = q[18*o +: 8];
    end
  endgenerate

  vla_table #(.Lanes(Lanes), .ParamBits(ParamBits)) u_table (
    .clk_i(clk_i), .rst_i(rst_i),
    .enable_i(conv_i[`VLA_CONV_TABLE_ENABLE]),
    .word_valid_i(table_valid_i), .word_first_i(table_first_i), .word_i(table_word_i), .busy_o(table_busy_o),
    .valid_i(q_valid && !wide), .q_i(q8), .valid_o(mapped_valid), .q_o(mapped)
  );

  // ---- residual; the low plane of an int16 one is taken a cycle before the sum ----
  wire               add_valid = mapped_valid && residual;
  wire               low_valid;
  wire               unused_residual_ready, unused_residual_valid;
  wire               sum_valid;
  wire [8*Lanes-1:0] sum;
  reg  [8*Lanes-1:0] low_q;
  always @(posedge clk_i) if (low_valid) low_q <= read;

  vla_flags #(.Cycles(6)) u_low (.clk_i(clk_i), .rst_i(rst_i), .flag_i(take && added), .flag_o(low_valid));

  vla_fifo #(.Width(8*Lanes), .Depth(Depth)) u_residuals (
    .clk_i(clk_i), .rst_i(rst_i),
    .in_valid_i(group_valid_i && group_words_i), .in_ready_o(unused_residual_ready), .in_data_i(group_read_i),
    .out_valid_o(unused_residual_valid),
    .out_ready_i(records ? take : added ? low_valid || q_valid : add_valid), .out_data_o(read)
  );

  vla_mac_residual #(.Lanes(Lanes)) u_residual (
    .clk_i(clk_i), .rst_i(rst_i),
    .rounding_i(rounding), .record_i(residual_record_i),
    .valid_i(add_valid), .a_i(mapped), .b_i(read), .valid_o(sum_valid), .q_o(sum)
  );

  // ---- int16 results, and their maxima ----
  wire                wide_valid, wide_words_valid, maxima_valid;
  wire [16*Lanes-1:0] wide_q;
  wire [8*Lanes-1:0]  wide_words;
  wire [16*Group-1:0] maxima;
  wire [5*Group-1:0]  columns;
  wire                kept_first, kept_last, kept_end;

  vla_delay #(.Width(5*Group), .Cycles(7)) u_columns (
    .clk_i(clk_i), .data_i(step_columns), .data_o(columns)
  );
  vla_delay #(.Width(3), .Cycles(9)) u_kept (
    .clk_i(clk_i), .data_i({step_block_first, step_block_last, step_tile_last}),
    .data_o({kept_first, kept_last, kept_end})
  );

  vla_mac_wide #(.Block(Block), .Group(Group)) u_wide (
    .clk_i(clk_i), .rst_i(rst_i),
    .maxima_i(keep), .valid_i(q_valid && wide), .q_i(q), .residual_i(added ? {read, low_q} : {16*Lanes{1'b0}}),
    .columns_i(columns), .valid_o(wide_valid), .q_o(wide_q), .words_valid_o(wide_words_valid), .words_o(wide_words)
  );

  vla_mac_maxima #(.Block(Block), .Group(Group)) u_maxima (
    .clk_i(clk_i), .rst_i(rst_i),
    .valid_i(wide_valid && keep), .first_i(kept_first), .last_i(kept_last), .end_i(kept_end), .q_i(wide_q),
    .valid_o(maxima_valid), .maxima_o(maxima)
  );

  // ---- write ----
  vla_mac_writer #(.Block(Block), .ActAw(ActAw), .Group(Group), .Depth(Depth)) u_writer (
    .clk_i(clk_i), .rst_i(rst_i),
    .target_valid_i(group_valid_i), .target_kind_i(group_kind_i), .target_live_i(group_live_i), .target_last_i(group_packet_last_i),
    .target_addr_i(group_addr_i),
    .result_valid_i(wide ? wide_words_valid : residual ? sum_valid : mapped_valid),
    .result_i(wide ? wide_words : residual ? sum : mapped), .maxima_valid_i(maxima_valid), .maxima_i(maxima),
    .wr_valid_o(wr_valid_o), .wr_addr_o(wr_addr_o), .wr_data_o(wr_data_o), .wr_grant_i(wr_grant_i),
    .freed_o(freed_o), .done_o(done_o)
  );

endmodule
`default_nettype wire
