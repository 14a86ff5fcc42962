// The rows of a GATHER: for every moved row, in order, where its words start in the table and in the moved rows.
// Does: take row numbers from a range, or from the items in the activation memory; read all items once to check them,
// then again for their rows. An item that is no row of the table ends it, before any row is given.
// Does not: move words, or read items before may_read_i says that nothing older can change them.
// Latency: the first row comes 7 cycles after start_i; with items, after all of them were read, and 15 cycles more.
// A row per cycle. Handshake: start_i while busy_o is low takes the packet; busy_o is high until the last row is taken;
// rows and items asked for are ready/valid, items that come are always taken; failed_o is high for one cycle.
`include "vla_isa.vh"
`default_nettype none
module vla_gather_rows #(
  parameter Block = 16,  // B, bytes of a word
  parameter ActAw = 17   // bits of a word address
) (
  input  wire             clk_i,
  input  wire             rst_i,
  input  wire             start_i,
  input  wire [511:0]     packet_i,
  input  wire             may_read_i,
  output wire             busy_o,
  output wire             failed_o,
  // items: the word that holds the number
  output wire             item_valid_o,
  input  wire             item_ready_i,
  output wire [ActAw-1:0] item_addr_o,
  input  wire             item_word_valid_i,
  input  wire [31:0]      item_word_data_i,
  // rows
  output wire             row_valid_o,
  input  wire             row_ready_i,
  output wire [31:0]      row_table_o,
  output wire [ActAw-1:0] row_act_o
);

  localparam [1:0] Idle  = 2'd0;
  localparam [1:0] Check = 2'd1;  // items are read and compared
  localparam [1:0] Walk  = 2'd2;  // rows are given
  localparam [ActAw-1:0] ItemWords = Block == 8 ? 2 : 1;
  localparam Depth = 16;          // row numbers on their way, a power of two
  localparam Dw    = $clog2(Depth);

  reg [1:0]       state_q;
  reg             range_q;
  reg [31:0]      base_q;
  reg [21:0]      stride_q;
  reg [19:0]      rows_q, first_q;
  reg [13:0]      n_q;
  reg [ActAw-1:0] index_q, act_q;

  // ---- items, each pass ----
  reg  [13:0]      asked_q, came_q;
  reg  [ActAw-1:0] item_q;
  reg              word_q;       // an item came
  reg  [31:0]      value_q;
  reg              bad_q;
  reg  [Dw:0]      due_q;        // row numbers asked for and not yet taken, in Walk
  wire             more       = asked_q != n_q;
  wire             room       = !due_q[Dw];
  wire             checked    = state_q == Check && came_q == n_q;
  wire             item_fire  = item_valid_o && item_ready_i;
  wire             range_fire = state_q == Walk && range_q && more && room;
  wire             number_pop;

  assign item_valid_o = more && !range_q && may_read_i && (state_q == Check || (state_q == Walk && room));
  assign item_addr_o  = item_q;
  assign failed_o     = checked && bad_q;

  wire row_fire = row_valid_o && row_ready_i;
  reg  [13:0] left_q;  // rows not yet given
  wire start_pass = (state_q == Idle && start_i) || (checked && !bad_q);

  always @(posedge clk_i) begin
    if (rst_i) begin
      state_q <= Idle;
      due_q   <= {(Dw + 1){1'b0}};
      word_q  <= 1'b0;
    end else begin
      case (state_q)
        Idle:    if (start_i) state_q <= packet_i[`VLA_GATHER_INDEX_KIND] ? Walk : Check;
        Check:   if (checked) state_q <= bad_q ? Idle : Walk;
        default: if (row_fire && left_q == 14'd1) state_q <= Idle;
      endcase
      word_q <= item_word_valid_i;
      if (state_q == Walk) due_q <= due_q + {{Dw{1'b0}}, item_fire || range_fire} - {{Dw{1'b0}}, number_pop};
    end
  end

  always @(posedge clk_i) begin
    if (state_q == Idle) begin
      range_q  <= packet_i[`VLA_GATHER_INDEX_KIND];
      base_q   <= packet_i[`VLA_GATHER_TABLE_BASE];
      stride_q <= packet_i[`VLA_GATHER_TABLE_STRIDE];
      rows_q   <= packet_i[`VLA_GATHER_TABLE_ROWS];
      first_q  <= packet_i[`VLA_GATHER_FIRST];
      n_q      <= packet_i[`VLA_GATHER_N];
      left_q   <= packet_i[`VLA_GATHER_N];
      index_q  <= packet_i[`VLA_GATHER_INDEX_BASE_LSB +: ActAw];
      act_q    <= packet_i[`VLA_GATHER_ACT_BASE_LSB +: ActAw];
    end else begin
      if (range_fire) first_q <= first_q + 20'd1;
      if (row_fire)   act_q   <= act_q + 1'b1;
      if (row_fire)   left_q  <= left_q - 14'd1;
    end
    if (start_pass) asked_q <= 14'd0;
    else if (item_fire || range_fire) asked_q <= asked_q + 14'd1;
    if (start_pass) item_q <= state_q == Idle ? packet_i[`VLA_GATHER_INDEX_BASE_LSB +: ActAw] : index_q;
    else if (item_fire) item_q <= item_q + ItemWords;
    value_q <= item_word_data_i;
    if (start_pass) came_q <= 14'd0;
    else if (word_q) came_q <= came_q + 14'd1;
    if (start_pass) bad_q <= 1'b0;
    else if (word_q && value_q >= {12'd0, rows_q}) bad_q <= 1'b1;  // also below zero
  end

  // ---- row numbers, times the stride ----
  wire        number_valid, unused_number_ready;
  wire [19:0] number;
  vla_fifo #(.Width(20), .Depth(Depth)) u_numbers (
    .clk_i(clk_i), .rst_i(rst_i),
    .in_valid_i(range_fire || (word_q && state_q == Walk)), .in_ready_o(unused_number_ready),
    .in_data_i(range_q ? first_q : value_q[19:0]),
    .out_valid_o(number_valid), .out_ready_i(number_pop), .out_data_o(number)
  );

  reg  [3:0]  stage_q;  // which stages hold a row
  reg  [19:0] number_q;
  reg  [41:0] product_q, product_late_q;
  reg  [31:0] table_q;
  wire        move = !stage_q[3] || row_ready_i;
  assign number_pop = number_valid && move;
  always @(posedge clk_i) begin
    if (rst_i) stage_q <= 4'd0;
    else if (move) stage_q <= {stage_q[2:0], number_valid};
    if (move) begin
      number_q       <= number;
      product_q      <= {22'd0, number_q} * {20'd0, stride_q};
      product_late_q <= product_q;
      table_q        <= base_q + product_late_q[31:0];
    end
  end

  assign busy_o      = state_q != Idle;
  assign row_valid_o = stage_q[3];
  assign row_table_o = table_q;
  assign row_act_o   = act_q;

  wire unused_bits = ^{packet_i, product_late_q[41:32]};

endmodule
`default_nettype wire
