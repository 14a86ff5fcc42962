// What a MAC packet reads from the parameter memory: residual record, table, and a record word per tile.
// Does: read the residual record and the table once, and the records of the out blocks ahead of their use,
// for every batch again; let the builder of live lists use the port when it is free.
// Does not: keep anything from packet to packet.
// Latency: after start_i the first record is there in 4 to 5 cycles, a table in about 22 (ready_o).
// Handshake: record_valid_o/record_take_i; a record stays until it is taken.
`include "vla_isa.vh"
`default_nettype none
module vla_mac_params #(
  parameter Block   = 16,
  parameter ParamAw = 11
) (
  input  wire                clk_i,
  input  wire                rst_i,
  input  wire                start_i,
  input  wire [511:0]        conv_i,
  input  wire [11:0]         out_blocks_i,
  input  wire [9:0]          batches_i,
  input  wire                one_record_i,
  // parameter memory
  output wire                param_rd_valid_o,
  output wire [ParamAw-1:0]  param_rd_addr_o,
  input  wire                param_rd_grant_i,
  input  wire [64*Block-1:0] param_rd_data_i,
  // the builder of live lists: lowest priority, takes its data from the memory itself
  input  wire                live_rd_valid_i,
  input  wire [ParamAw-1:0]  live_rd_addr_i,
  output wire                live_rd_grant_o,
  // constants of the packet
  output wire                ready_o,          // residual record and table are complete
  output wire [95:0]         residual_o,
  output wire                table_valid_o,    // param_rd_data_i is a word of the table
  output wire                table_first_o,
  input  wire                table_busy_i,
  // records
  output wire                record_valid_o,
  output wire [64*Block-1:0] record_o,
  input  wire                record_take_i
);

  localparam ParamBits  = 64 * Block;
  localparam       TableCount = 2048 / ParamBits;
  localparam [2:0] TableWords = TableCount[2:0];
  localparam [2:0] Ahead      = 3'd4;  // records read before they are used

  wire unused_conv = &{1'b0, conv_i};

  reg               residual_want_q;
  reg [2:0]         table_left_q;     // words of the table not requested yet
  reg [ParamAw-1:0] table_addr_q;
  reg               records_q;        // records are still to be requested
  reg [11:0]        blocks_left_q;
  reg [9:0]         batches_left_q;
  reg [ParamAw-1:0] record_addr_q;
  reg [2:0]         ahead_q;          // records requested and not taken
  reg               got_residual_q, got_table_q, got_first_q, got_record_q;  // what param_rd_data_i is now
  reg [95:0]        residual_q;

  wire [ParamAw-1:0] param_base = conv_i[`VLA_CONV_PARAM_BASE_LSB +: ParamAw];
  wire [ParamAw+11:0] blocks_wide = {{ParamAw{1'b0}}, out_blocks_i};
  wire unused_blocks = &{1'b0, blocks_wide};

  // ---- requests, in this order ----
  wire ask_residual = residual_want_q;
  wire ask_table    = !ask_residual && table_left_q != 3'd0 && !table_busy_i && !got_table_q;
  wire ask_record   = !ask_residual && !ask_table && records_q && ahead_q < Ahead;
  wire ask_live     = !ask_residual && !ask_table && !ask_record && live_rd_valid_i;

  assign param_rd_valid_o = ask_residual || ask_table || ask_record || ask_live;
  assign param_rd_addr_o  = ask_residual ? param_base + blocks_wide[ParamAw-1:0]
                          : ask_table ? table_addr_q : ask_record ? record_addr_q : live_rd_addr_i;
  assign live_rd_grant_o  = ask_live && param_rd_grant_i;

  wire take_residual = ask_residual && param_rd_grant_i;
  wire take_table    = ask_table && param_rd_grant_i;
  wire take_record   = ask_record && param_rd_grant_i;
  wire batch_end     = blocks_left_q == 12'd1;

  assign ready_o       = !residual_want_q && !got_residual_q && table_left_q == 3'd0 && !got_table_q && !table_busy_i;
  assign residual_o    = residual_q;
  assign table_valid_o = got_table_q;
  assign table_first_o = got_first_q;

  always @(posedge clk_i) begin
    if (rst_i) begin
      residual_want_q <= 1'b0;
      table_left_q    <= 3'd0;
      records_q       <= 1'b0;
      ahead_q         <= 3'd0;
      got_residual_q  <= 1'b0;
      got_table_q     <= 1'b0;
      got_record_q    <= 1'b0;
    end else begin
      if (start_i) residual_want_q <= conv_i[`VLA_CONV_RESIDUAL_ENABLE];
      else if (take_residual) residual_want_q <= 1'b0;
      if (start_i) table_left_q <= conv_i[`VLA_CONV_TABLE_ENABLE] ? TableWords : 3'd0;
      else if (take_table) table_left_q <= table_left_q - 3'd1;
      if (start_i) records_q <= 1'b1;
      else if (take_record && batch_end && batches_left_q == 10'd1) records_q <= 1'b0;
      ahead_q        <= ahead_q + {2'b00, take_record} - {2'b00, record_take_i};
      got_residual_q <= take_residual;
      got_table_q    <= take_table;
      got_record_q   <= take_record;
    end
  end

  always @(posedge clk_i) begin
    got_first_q <= table_left_q == TableWords;
    if (start_i) table_addr_q <= conv_i[`VLA_CONV_TABLE_BASE_LSB +: ParamAw];
    else if (take_table) table_addr_q <= table_addr_q + 1'b1;
    if (got_residual_q) residual_q <= param_rd_data_i[95:0];
    if (start_i) begin
      blocks_left_q  <= out_blocks_i;
      batches_left_q <= batches_i;
      record_addr_q  <= param_base;
    end else if (take_record) begin
      blocks_left_q <= batch_end ? out_blocks_i : blocks_left_q - 12'd1;
      if (batch_end) batches_left_q <= batches_left_q - 10'd1;
      record_addr_q <= batch_end || one_record_i ? param_base : record_addr_q + 1'b1;
    end
  end

  // In order of the tiles; there is room for every record asked for.
  wire unused_ready;
  vla_fifo #(.Width(ParamBits), .Depth(Ahead)) u_records (
    .clk_i(clk_i), .rst_i(rst_i),
    .in_valid_i(got_record_q), .in_ready_o(unused_ready),
    .in_data_i(one_record_i ? {Block{param_rd_data_i[63:0]}} : param_rd_data_i),
    .out_valid_o(record_valid_o), .out_ready_i(record_take_i), .out_data_o(record_o)
  );

endmodule
`default_nettype wire
