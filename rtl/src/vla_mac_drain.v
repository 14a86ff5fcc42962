// From complete strips to words in memory: requantize, table, residual, write.
// Does: take a group of pixels per cycle when its accumulators, its record and its place are there; requantize
// Group x Block values, look them up, add the residual, write a word for each pixel.
// Does not: stall once a group is taken; the queues of places and results have room for all groups on the way.
// Latency: group -> write request 11 cycles, 18 with a residual.
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
  input  wire                 ready_i,          // table and residual record are there
  input  wire [95:0]          residual_record_i,
  input  wire                 table_valid_i,
  input  wire                 table_first_i,
  input  wire [ParamBits-1:0] table_word_i,
  output wire                 table_busy_o,
  // places
  input  wire                 group_valid_i,
  input  wire [Group-1:0]     group_live_i,
  input  wire                 group_strip_last_i,
  input  wire                 group_tile_last_i,
  input  wire                 group_packet_last_i,
  input  wire [Group*ActAw-1:0]   group_addr_i,
  input  wire [Group*8*Block-1:0]  group_residual_i,
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

  wire unused_conv = &{1'b0, conv_i};

  wire       residual = conv_i[`VLA_CONV_RESIDUAL_ENABLE];
  wire [1:0] rounding = conv_i[`VLA_CONV_ROUNDING];

  // ---- take a group ----
  wire unused_step_ready;
  wire step_valid, step_strip_last, step_tile_last;
  wire take = step_valid && strip_valid_i && record_valid_i && ready_i;

  vla_fifo #(.Width(2), .Depth(Depth)) u_steps (
    .clk_i(clk_i), .rst_i(rst_i),
    .in_valid_i(group_valid_i), .in_ready_o(unused_step_ready),
    .in_data_i({group_strip_last_i, group_tile_last_i}),
    .out_valid_o(step_valid), .out_ready_i(take), .out_data_o({step_strip_last, step_tile_last})
  );

  assign strip_take_o      = take;
  assign strip_take_last_o = step_strip_last;
  assign record_take_o     = take && step_tile_last;

  wire [32*Lanes-1:0] acc;  // [pixel][out channel]
  genvar p, o;
  generate
    for (p = 0; p < Group; p = p + 1) begin : g_pixel
      for (o = 0; o < Block; o = o + 1) begin : g_channel
        assign acc[32*(p*Block + o) +: 32] = strip_acc_i[64*(p/2*Block + o) + 32*(p%2) +: 32];
      end
    end
  endgenerate

  // ---- requantize, table ----
  wire               q_valid, mapped_valid;
  wire [8*Lanes-1:0] q, mapped;

  vla_requantize #(.Lanes(Lanes)) u_requantize (
    .clk_i(clk_i), .rst_i(rst_i),
    .rounding_i(rounding), .zero_i(conv_i[`VLA_CONV_OUT_ZERO]),
    .lo_i(conv_i[`VLA_CONV_LO]), .hi_i(conv_i[`VLA_CONV_HI]),
    .valid_i(take), .silent_i(strip_silent_i), .acc_i(acc), .record_i({Group{record_i}}),
    .valid_o(q_valid), .q_o(q)
  );

  vla_table #(.Lanes(Lanes), .ParamBits(ParamBits)) u_table (
    .clk_i(clk_i), .rst_i(rst_i),
    .enable_i(conv_i[`VLA_CONV_TABLE_ENABLE]),
    .word_valid_i(table_valid_i), .word_first_i(table_first_i), .word_i(table_word_i), .busy_o(table_busy_o),
    .valid_i(q_valid), .q_i(q), .valid_o(mapped_valid), .q_o(mapped)
  );

  // ---- residual ----
  wire               add_valid = mapped_valid && residual;
  wire               unused_residual_ready, unused_residual_valid;
  wire               sum_valid;
  wire [8*Lanes-1:0] words, sum;

  vla_fifo #(.Width(8*Lanes), .Depth(Depth)) u_residuals (
    .clk_i(clk_i), .rst_i(rst_i),
    .in_valid_i(group_valid_i && residual), .in_ready_o(unused_residual_ready), .in_data_i(group_residual_i),
    .out_valid_o(unused_residual_valid), .out_ready_i(add_valid), .out_data_o(words)
  );

  vla_mac_residual #(.Lanes(Lanes)) u_residual (
    .clk_i(clk_i), .rst_i(rst_i),
    .rounding_i(rounding), .record_i(residual_record_i),
    .valid_i(add_valid), .a_i(mapped), .b_i(words), .valid_o(sum_valid), .q_o(sum)
  );

  // ---- write ----
  vla_mac_writer #(.Block(Block), .ActAw(ActAw), .Group(Group), .Depth(Depth)) u_writer (
    .clk_i(clk_i), .rst_i(rst_i),
    .target_valid_i(group_valid_i), .target_live_i(group_live_i), .target_last_i(group_packet_last_i),
    .target_addr_i(group_addr_i),
    .result_valid_i(residual ? sum_valid : mapped_valid), .result_i(residual ? sum : mapped),
    .wr_valid_o(wr_valid_o), .wr_addr_o(wr_addr_o), .wr_data_o(wr_data_o), .wr_grant_i(wr_grant_i),
    .freed_o(freed_o), .done_o(done_o)
  );

endmodule
`default_nettype wire
